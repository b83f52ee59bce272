import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from quickstep.evaluation.curve.literature import published_lines
from quickstep.evaluation.curve.page import page_html
from quickstep.evaluation.curve.plot import NUM_SHAPES
from quickstep.evaluation.curve.plots import styles_of
from quickstep.evaluation.curve.points import STAGES, Score
from quickstep.evaluation.published import published_rows

VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """Elements with their attributes; the nesting is checked on the way."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def having(self, name: str, value: str | None = None) -> list[dict[str, str]]:
        return [
            attributes
            for _, attributes in self.elements
            if name in attributes and value in (None, attributes[name])
        ]


@pytest.fixture(scope="module")
def text(report) -> str:
    return page_html(report, numbers={"rows": [1, "</script>"]})


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_the_answer_comes_first(page):
    assert "".join(page.texts["h1"] + page.texts["em"]).replace("\N{NO-BREAK SPACE}", " ") == (
        "4 steps: 23.40 dB at 15×"
    )


def test_nothing_points_outside(text, page):
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text
    for attribute in ("src", "href", "action", "poster", "srcset"):
        for attributes in page.having(attribute):
            assert attributes[attribute].startswith(("#", "data:")), attributes
    for address in re.findall(r"url\(([^)]{1,20})", text):
        assert address.startswith("data:image/webp")
    policy = page.having("http-equiv", "Content-Security-Policy")[0]["content"]
    assert "default-src 'none'" in policy


def test_it_is_legible_for_machines_that_read_aloud(page):
    assert page.having("lang", "en")
    assert "width=device-width" in page.having("name", "viewport")[0]["content"]
    pictures = page.having("role", "img")
    assert len(pictures) > 20
    assert all(each["aria-label"] for each in pictures)
    assert all(
        each["aria-label"] and each["tabindex"] == "0" for each in page.having("role", "region")
    )
    tables = [tag for tag, _ in page.elements if tag == "table"]
    captions = [tag for tag, _ in page.elements if tag == "caption"]
    assert len(tables) == len(captions)
    assert all("scope" in attributes for tag, attributes in page.elements if tag == "th")


def test_names_are_unique(page):
    names = [attributes["id"] for attributes in page.having("id")]
    assert len(names) == len(set(names))
    targets = [each["for"] for each in page.having("for")]
    assert set(targets) <= set(names)


def test_every_metric_can_be_chosen_and_one_is_shown(page, report):
    plots = page.having("data-metric")
    assert [each["data-metric"] for each in plots] == list(report.metrics)
    assert ["hidden" in each for each in plots] == [False, True, True, True, True]
    options = [attributes["value"] for tag, attributes in page.elements if tag == "option"]
    assert options[: len(report.metrics)] == list(report.metrics)


def test_every_point_and_every_published_row_is_in_a_table(text):
    assert text.count('<th scope="row">') == 2 * 12 + 2 + len(published_rows())
    assert text.count("published, not comparable") == 1 + 10
    for row in published_rows():
        for value in row.printed.values():
            assert f"<td>{'–' if value == '-' else value}</td>" in text


def test_the_best_value_of_a_column_is_bold(text):
    # 15 + 1.9 log2(50) = 25.72 is the made-up teacher's at 50 steps, the best of all points.
    assert "<b>25.72</b>" in text
    # Motion energy is best next to 1: 1 + 3/50 of the same point.
    assert "<b>1.06</b>" in text


def test_steps_without_training_are_marked(text):
    assert text.count("not trained for") == 1 + 1
    assert "mark hollow" in text


def test_clips_run_in_step(page, report):
    films = [each for each in page.having("data-count") if each["class"].startswith("film")]
    moving = 2 * (3 + len(report.points))  # dance, truth, autoencoder and points, of two clips
    assert len(films) == moving
    assert {each["style"] for each in films} == {"animation:film-12-4 1s step-end infinite"}
    stills = [each for each in page.having("role", "img") if "moments of" in each["aria-label"]]
    changes = [each for each in page.having("role", "img") if "change to" in each["aria-label"]]
    assert len(stills) == len(changes) == 2 * (1 + len(report.points))


def test_numbers_travel_with_the_page(text):
    kept = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert kept is not None
    assert json.loads(kept[1]) == {"rows": [1, "</script>"]}


@pytest.fixture(scope="module")
def short(report):
    """Two points and one clip: quick to draw."""
    made = report.showcases[0].made[:2]
    showcases = [replace(report.showcases[0], made=made)]
    return replace(report, points=[each.point for each in made], showcases=showcases)


def test_the_same_report_gives_the_same_page(short):
    assert page_html(short) == page_html(short)


def test_names_of_models_and_clips_cannot_break_the_page(report):
    bad = '<img src=x onerror="alert(1)">&'
    points = [replace(point, model=bad) for point in report.points[:2]]
    made = [replace(report.showcases[0].made[0], point=points[0])]
    showcase = replace(report.showcases[0], name=bad, made=made)
    facts = [("Command", bad)]
    page = Page(
        page_html(replace(report, points=points, showcases=[showcase], facts=facts, notes=[bad]))
    )
    assert not [tag for tag, _ in page.elements if tag == "img"]


def test_no_two_models_look_alike(report):
    roles = ["student"] * 6 + ["teacher"] * 2
    points = [
        replace(report.points[0], model=f"model {number}", role=role)
        for number, role in enumerate(roles)
    ]
    styles = styles_of(replace(report, points=points)).values()
    assert len({(style.name, style.shape % NUM_SHAPES) for style in styles}) == 8


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_could_not_be_measured_are_left_out(report, bad):
    scores = {"psnr": Score(bad), "ssim": Score(0.5, 0.4, 0.6)}
    points = [replace(point, scores=scores) for point in report.points]
    baselines = [replace(report.baselines[0], scores={"psnr": Score(bad)})]
    page = Page(
        page_html(
            replace(
                report,
                points=points,
                baselines=baselines,
                showcases=(),
                comparisons={},
                metrics=("psnr", "ssim"),
            )
        )
    )
    assert [each["data-metric"] for each in page.having("data-metric")] == ["ssim"]
    assert "nan" not in "".join(page.texts["p"] + page.texts["td"] + page.texts["dd"])


def test_one_model_on_one_clip_of_one_frame(report):
    point = replace(report.points[0], scores={"psnr": Score(20.0)}, evaluations=1.0)
    clip = report.showcases[0]
    still = replace(
        clip,
        skeletons=clip.skeletons[:1],
        truth=clip.truth[:1],
        ceiling=clip.ceiling[:1],
        made=[replace(clip.made[0], point=point, frames=clip.made[0].frames[:1])],
    )
    alone = replace(report, points=[point], metrics=("psnr",), baselines=(), showcases=[still])
    page = Page(page_html(replace(alone, comparisons={})))
    assert not page.having("data-count")
    assert "1.0×" in page.texts["td"]


def test_clips_of_different_length_keep_their_own_time(report):
    short = replace(
        report.showcases[1],
        skeletons=report.showcases[1].skeletons[:7],
        truth=report.showcases[1].truth[:7],
        ceiling=None,
        made=[replace(made, frames=made.frames[:7]) for made in report.showcases[1].made],
    )
    page = Page(page_html(replace(report, showcases=[report.showcases[0], short])))
    counts = [each["data-count"] for each in page.having("data-count")]
    assert counts.count("12") == 3 + len(report.points)
    assert counts.count("7") == 2 + len(report.points)
    told = "".join(page.texts["p"])
    assert "Frames 1, 3, 5, 8, 10, 12, and" in told
    assert "Frames 1, 2, 3, 5, 6, 7, and" in told


def test_a_teacher_measured_at_other_steps_than_its_own_is_said_to_be(report):
    assert "run with by default" not in page_html(replace(report, showcases=()))
    points = [point for point in report.points if point.steps != 50]
    text = page_html(replace(report, points=points, showcases=()))
    assert "which are not the steps that it is run with by default" in text


def test_every_model_has_a_strip_also_without_its_own_steps(report):
    points = [replace(point, best=False) for point in report.points]
    made = [
        replace(each, point=point)
        for each, point in zip(report.showcases[0].made, points, strict=True)
    ]
    showcase = replace(report.showcases[0], made=made)
    text = page_html(replace(report, points=points, showcases=[showcase]))
    shown = text[text.index("Moments, and") : text.index("All other numbers of steps")]
    assert all(f"moments of {model}" in shown for model in report.models)


def test_maps_of_change_have_a_scale(text, page):
    (first, second) = (
        each for each in page.having("role", "img") if "linear-gradient" in str(each)
    )
    assert first["style"].startswith("background:linear-gradient(90deg,#000004,")
    assert all("grey levels or more" in each["aria-label"] for each in (first, second))


def test_seconds_of_every_stage_can_be_read_without_a_mouse(text, report):
    table = text[text.index("<summary>Seconds of every stage") :]
    table = table[: table.index("</details>")]
    assert [table.count(f'<th scope="col">{stage}</th>') for stage in STAGES] == [1] * 5
    assert table.count("<td>") == 5 * len(report.points)


def test_pictures_keep_the_file_small(report, short):
    full = len(page_html(short))
    small = len(page_html(short, media_budget=full // 4))
    assert small < full
    assert len(page_html(replace(report, showcases=()))) < 150_000


def test_a_page_without_intervals_memory_or_teacher(report):
    point = replace(
        report.points[6],
        scores={"psnr": Score(20.0), "ssim": Score(float("nan"))},
        memory=None,
    )
    text = page_html(
        replace(
            report,
            points=[point],
            baselines=(),
            showcases=(),
            comparisons={},
            metrics=("psnr", "ssim"),
        )
    )
    page = Page(text)
    assert [each["data-metric"] for each in page.having("data-metric")] == ["psnr"]
    assert "no teacher was measured" in text


def test_a_page_of_nothing_is_refused(report):
    with pytest.raises(ValueError, match="at least one point"):
        page_html(replace(report, points=()))


def test_published_lines_hold_what_the_papers_print():
    lines = {line.name: line for line in published_lines("dancelcm", "PSNR", {"DanceLCM": "ours"})}
    assert [(mark.x, mark.y) for mark in lines["ours"].marks] == [
        (1, 19.17),
        (2, 19.36),
        (4, 20.12),
        (8, 19.73),
    ]
