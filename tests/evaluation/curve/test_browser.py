"""The page in a real browser: what fits, what can be read, what moves, and that it asks nobody."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from borrowed import borrowed
from quickstep.evaluation.curve.page import page_html

_MODULE = borrowed("evaluation/curve/browser.py")

PHONE, DESKTOP = (390, 844), (1280, 900)
WIDEST = """
[...document.querySelectorAll("body *")].filter(each => {
  if (each.closest(".scroll, .skip, svg, legend")) return false;
  const box = each.getBoundingClientRect();
  return box.width > 0 && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(each => each.tagName + "." + each.className)
"""
PALE = """
(() => {
  const paper = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const bytes = (colour, under) => {
    paper.fillStyle = under; paper.fillRect(0, 0, 1, 1);
    paper.fillStyle = colour; paper.fillRect(0, 0, 1, 1);
    return [...paper.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = rgb => rgb.map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = each => {
    for (let at = each; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour) && colour !== "transparent") return colour;
    }
    return "white";
  };
  const found = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const seen = each.getClientRects().length && !each.closest("script, style, .skip, legend");
    if (!own || !seen) continue;
    const style = getComputedStyle(each);
    const colour = each.ownerSVGElement ? style.fill : style.color;
    const back = behind(each);
    const [one, other] = [light(bytes(colour, back)), light(bytes(back, "white"))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const text = each.textContent.trim().slice(0, 30);
    if (ratio < 4.5) found.push(`${each.tagName} ${text} ${ratio.toFixed(2)}`);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    executable = _MODULE.find_chromium()
    if executable is None:
        pytest.skip(f"no browser here: none of {', '.join(_MODULE.NAMES)} is installed")
    browser = _MODULE.Browser(executable, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(report, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "curve.html"
    path.write_text(page_html(report), encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [(320, 640), PHONE, (768, 1024), DESKTOP])
def test_it_fits_is_legible_and_asks_nobody(browser, page, size, dark):
    browser.open(page, width=size[0], height=size[1], dark=dark)
    assert browser.value("document.documentElement.scrollWidth") <= size[0]
    assert browser.value(WIDEST) == []
    assert browser.value(PALE) == []
    assert browser.complaints == []
    assert browser.requests == []


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_the_longest_name_fits(browser, report, tmp_path, size):
    names = {model: "m" * 150 + str(number) for number, model in enumerate(report.models)}
    points = [replace(point, model=names[point.model]) for point in report.points]
    clip = report.showcases[0]
    made = [
        replace(each, point=point) for each, point in zip(clip.made[:3], points[:3], strict=True)
    ]
    showcase = replace(clip, name="clip" * 30, made=made)
    path = tmp_path / "curve.html"
    path.write_text(page_html(replace(report, points=points, showcases=[showcase])))
    browser.open(path, width=size[0], height=size[1])
    browser.value("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.value(WIDEST) == []
    assert browser.value("document.documentElement.scrollWidth") <= size[0]
    names_seen = "[...document.querySelectorAll('.group span')].map(each => each.clientWidth)"
    assert max(browser.value(names_seen)) < size[0]


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_the_answer_is_in_the_first_screen(browser, page, size, tmp_path):
    browser.open(page, width=size[0], height=size[1])
    for selector in ("h1", ".cards", "#curve h2"):
        box = f"document.querySelector({selector!r}).getBoundingClientRect()"
        assert browser.value(f"{box}.bottom") < size[1]
    (tmp_path / "first.png").write_bytes(browser.picture())
    picture = np.asarray(Image.open(tmp_path / "first.png").convert("RGB"))
    assert picture.shape[1] in (size[0], 2 * size[0])
    assert len(np.unique(picture @ np.array([65536, 256, 1]))) > 50


def test_fonts_of_plots_stay_readable_on_a_phone(browser, page):
    browser.open(page, width=PHONE[0], height=PHONE[1])
    scale = "document.querySelector('.plot').getBoundingClientRect().width / 420"
    assert browser.value(f"13 * {scale}") >= 10


def test_dark_and_light_differ(browser, page):
    colours = []
    for dark in (False, True):
        browser.open(page, width=PHONE[0], height=PHONE[1], dark=dark)
        colours.append(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]


def test_a_metric_can_be_chosen(browser, page):
    browser.open(page, width=PHONE[0], height=PHONE[1])
    shown = """[...document.querySelectorAll("[data-metric]")]
        .filter(each => each.offsetParent).map(each => each.dataset.metric)"""
    assert browser.value(shown) == ["psnr"]
    choose = """(() => { const menu = document.getElementById("metric"); menu.value = "ssim";
        menu.dispatchEvent(new Event("change")); })()"""
    browser.value(choose)
    assert browser.value(shown) == ["ssim"]
    assert browser.value("document.documentElement.scrollWidth") <= PHONE[0]


POSITIONS = """[...document.querySelectorAll(".film[data-count]")].filter(each => each.offsetParent)
    .map(each => getComputedStyle(each).backgroundPosition)"""


def test_clips_run_in_step_stop_and_go_frame_by_frame(browser, page):
    browser.open(page, width=DESKTOP[0], height=DESKTOP[1])
    assert browser.value("document.getElementById('play').textContent") == "Pause"
    browser.value("document.getElementById('play').click()")
    assert browser.value("document.getElementById('play').textContent") == "Play"
    seen = []
    for frame in (0, 5, 11):
        browser.value(
            f"""(() => {{ const slider = document.getElementById("frame"); slider.value = {frame};
            slider.dispatchEvent(new Event("input")); }})()"""
        )
        places = browser.value(POSITIONS)
        assert len(places) == 15
        assert len(set(places)) == 1
        assert browser.value("document.getElementById('count').value") == f"{frame + 1} of 12"
        seen.append(places[0])
    # Twelve frames in rows of four: frame 0 first, frame 5 second of row 2, frame 11 last.
    assert seen == ["0% 0%", "33.33% 50%", "100% 100%"]


def test_another_clip_can_be_chosen(browser, page):
    browser.open(page, width=PHONE[0], height=PHONE[1])
    shown = "[...document.querySelectorAll('.panel')].map(each => !!each.offsetParent)"
    assert browser.value(shown) == [True, False]
    browser.value("document.querySelector('label[for=clip-1]').click()")
    assert browser.value(shown) == [False, True]
    running = "document.querySelector('#panel-1 .film[data-count]').getAnimations()[0].playState"
    assert browser.value(running) == "running"


def test_who_wants_no_motion_gets_none(browser, page):
    browser.open(page, width=PHONE[0], height=PHONE[1])
    browser.ask(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-reduced-motion", "value": "reduce"}],
    )
    browser.ask("Page.reload")
    browser.value("new Promise(done => addEventListener('load', done))")
    states = """[...document.querySelectorAll(".panel .film[data-count]")]
        .flatMap(each => each.getAnimations()).map(each => each.playState)"""
    assert set(browser.value(states)) == {"paused"}
    assert browser.value("document.getElementById('play').textContent") == "Play"
    browser.value("document.getElementById('play').click()")
    assert set(browser.value(states)) == {"running"}
