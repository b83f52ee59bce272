import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from quickstep.evaluation.curve.plot import (
    Level,
    Line,
    Mark,
    curve_svg,
    even_ticks,
    log_ticks,
    marker_svg,
)


def parts(svg: str, kind: str) -> list[ElementTree.Element]:
    return [each for each in ElementTree.fromstring(svg).iter() if each.get("class") == kind]


def place(mark: ElementTree.Element) -> tuple[float, float]:
    """Where a disc is: its path starts 5 to the left of the middle."""
    x, y = mark.attrib["d"][1:].split("a")[0].split()
    return float(x) + 5, float(y)


def line(*points: tuple[float, float], **options) -> Line:
    marks = [Mark(x=x, y=y, label=f"{x:g}", text=f"at {x:g}: {y:g}") for x, y in points]
    return Line(name="a", marks=marks, style="student-0", **options)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (16.2, 19.4), (0.031, 0.044), (-3.0, 170.0)])
def test_even_ticks_are_few_round_and_inside(low, high):
    ticks = even_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    assert low <= ticks[0] and ticks[-1] <= high
    steps = {round(after - before, 9) for before, after in pairwise(ticks)}
    assert len(steps) == 1
    assert f"{steps.pop():.1e}"[0] in "125"


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.7, 27.0), (1.5, 135.0), (0.01, 90.0), (2.3, 4.45), (5.2, 9.4), (0.11, 0.19)],
)
def test_log_ticks_are_inside(low, high):
    ticks = log_ticks(low, high)
    assert len(ticks) >= 3
    assert low <= ticks[0] and ticks[-1] <= high


def test_both_axes_say_what_they_show():
    svg = curve_svg(
        [line((3.1, 20.0))], title="t", x_title="seconds, log scale", y_title="A & B, dB"
    )
    texts = [each.text for each in parts(svg, "name")]
    assert texts == ["seconds, log scale", "A & B, dB"]
    numbers = [each.text for each in ElementTree.fromstring(svg).iter() if each.tag == "text"]
    assert len([text for text in numbers if text and text.replace(".", "").isdigit()]) >= 6


def test_equal_ratios_lie_equally_far_apart_and_more_is_higher():
    svg = curve_svg([line((1.0, 10.0), (4.0, 12.0), (16.0, 11.0))], title="t", x_title="x")
    (x1, y1), (x2, y2), (x3, y3) = (place(mark) for mark in parts(svg, "mark"))
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y2 < y3 < y1


def test_a_reader_without_eyes_hears_every_point():
    svg = curve_svg([line((1.0, 10.0), (4.0, 12.0))], title="PSNR & more", x_title="x")
    told = ElementTree.fromstring(svg).attrib["aria-label"]
    assert told == "PSNR & more. at 1: 10. at 4: 12"


def test_marks_that_meet_have_labels_that_do_not():
    lines = [line((2.0, 20.0), (4.0, 21.0)), line((2.0, 20.4), (4.0, 20.6), below=True)]
    labels = [
        (float(each.attrib["x"]), float(each.attrib["y"]))
        for each in ElementTree.fromstring(curve_svg(lines, title="t", x_title="x")).iter()
        if each.get("class", "").startswith("label")
    ]
    assert len(labels) == 4
    assert all(
        math.dist(one, other) > 8 for number, one in enumerate(labels) for other in labels[:number]
    )


def test_a_level_far_away_does_not_flatten_the_curve():
    near = curve_svg([line((1.0, 10.0), (2.0, 12.0))], title="t", x_title="x")
    levels = [Level("ceiling", 30.0), Level("inside", 11.0)]
    far = curve_svg([line((1.0, 10.0), (2.0, 12.0))], title="t", x_title="x", levels=levels)
    heights = [[place(mark)[1] for mark in parts(svg, "mark")] for svg in (near, far)]
    assert heights[0] == heights[1]
    texts = [each.text for each in parts(far, "level") if each.tag == "text"]
    assert texts == ["ceiling 30 ↑", "inside"]


def test_whiskers_span_the_interval():
    mark = Mark(x=1.0, y=5.0, low=4.0, high=6.0)
    other = Mark(x=2.0, y=9.0)
    svg = curve_svg([Line("a", [mark, other], "teacher")], title="t", x_title="x")
    (whisker,) = parts(svg, "whisker")
    low, high = whisker.attrib["d"].split()[1].split("V")
    (_, middle), _ = (place(each) for each in parts(svg, "mark"))
    assert float(low) - middle == pytest.approx(middle - float(high), abs=0.2)


def test_one_point_alone_can_be_drawn():
    svg = curve_svg([line((4.0, 20.0))], title="t", x_title="x")
    assert len(parts(svg, "mark")) == 1
    assert not parts(svg, "wire")


def test_a_hollow_mark_and_shapes_tell_apart_without_colour():
    marks = [Mark(x=1.0, y=1.0, hollow=True), Mark(x=2.0, y=2.0)]
    svg = curve_svg([Line("a", marks, "teacher", shape=1)], title="t", x_title="x")
    assert len(parts(svg, "mark hollow")) == len(parts(svg, "mark")) == 1
    keys = {marker_svg("teacher", shape) for shape in range(4)}
    assert len(keys) == 4


def test_nothing_cannot_be_drawn():
    with pytest.raises(ValueError, match="at least one mark"):
        curve_svg([Line("a", [], "teacher")], title="t", x_title="x")
