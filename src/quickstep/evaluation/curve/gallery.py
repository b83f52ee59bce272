"""The section to look at: clips side by side in step, strips of pictures, maps of change."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from quickstep.animation.sheet import moments
from quickstep.evaluation.curve.media import Sheet, pack_within
from quickstep.evaluation.curve.plots import Style
from quickstep.evaluation.curve.points import Made, Point, Report, Showcase
from quickstep.evaluation.motion import common_top, difference_heat_map

MOST_FRAMES = 48
"""Frames of a loop: four seconds at 12 a second; a longer clip shows its beginning."""
STRIP = 6
"""Pictures of a strip."""


@dataclass(frozen=True)
class Gallery:
    """The section and the style rules that hold its pictures."""

    html: str
    css: str


@dataclass(frozen=True)
class _Clip:
    """A video of a showcase and its map of change, once they are packed."""

    title: str
    film: Sheet
    heat: Sheet | None
    number: int


def gallery_section(report: Report, styles: Mapping[str, Style], *, budget: int) -> Gallery:
    """Clips, strips and maps of all showcases, packed so that they keep to a budget."""
    if not report.showcases:
        return Gallery(html="", css="")
    videos = [video for showcase in report.showcases for video in _videos(showcase)]
    sheets = pack_within(videos, budget=budget)
    rules = [_window_rule(number, sheet) for number, sheet in enumerate(sheets)]
    films = {(sheet.count, sheet.columns) for sheet in sheets}
    rules += [_film_rule(count, columns) for count, columns in sorted(films)]
    tabs, panels, first = [], [], 0
    for number, showcase in enumerate(report.showcases):
        count = sum(1 for _ in _videos(showcase))
        numbered = list(enumerate(sheets))[first : first + count]
        tabs.append(_tab(number, showcase))
        panels.append(_panel(number, showcase, numbered, styles))
        rules.append(f"#clips:has(#clip-{number}:checked) #panel-{number}{{display:block}}")
        first += count
    html = (
        '<section id="clips"><h2>See for yourself</h2>'
        f'<fieldset class="tabs"><legend>Clip</legend>{"".join(tabs)}</fieldset>'
        f"{_controls()}{''.join(panels)}</section>"
    )
    return Gallery(html=html, css="".join(rules))


def _videos(showcase: Showcase) -> Iterator[np.ndarray]:
    """What a showcase packs: what is given, then truth and made videos with their changes."""
    shown = [showcase.truth, *(made.frames for made in showcase.made)]
    shown = [frames[:MOST_FRAMES] for frames in shown]
    top = common_top(shown)
    yield showcase.reference[None]
    yield showcase.skeletons[:MOST_FRAMES]
    if showcase.ceiling is not None:
        yield showcase.ceiling[:MOST_FRAMES]
    for frames in shown:
        yield frames
        if len(frames) > 1:
            yield difference_heat_map(frames, top=top)[_steps_shown(len(frames))]


def _steps_shown(num_frames: int) -> list[int]:
    """Numbers of the changes under the pictures of a strip: from the picture to the next frame."""
    return [min(frame, num_frames - 2) for frame in moments(num_frames, count=STRIP)]


def _window_rule(number: int, sheet: Sheet) -> str:
    return (
        f".s{number}{{background-image:url({sheet.uri});aspect-ratio:{sheet.width}/{sheet.height};"
        f"background-size:{sheet.columns * 100}% {sheet.rows * 100}%}}"
    )


def _film_rule(count: int, columns: int) -> str:
    """Keyframes that jump from frame to frame of a sheet."""
    sheet = Sheet("", count, columns, -(-count // columns), 1, 1)
    steps = "".join(
        f"{100 * frame / count:.4g}%{{background-position:{sheet.place(frame)}}}"
        for frame in range(count)
    )
    return f"@keyframes film-{count}-{columns}{{{steps}}}"


def _tab(number: int, showcase: Showcase) -> str:
    checked = " checked" if number == 0 else ""
    return (
        f'<input type="radio" name="clip" id="clip-{number}"{checked}>'
        f'<label for="clip-{number}">{escape(showcase.name)}</label>'
    )


def _controls() -> str:
    return (
        '<div class="controls needs-script"><button type="button" id="play">Pause</button>'
        '<label class="wide">Frame <input type="range" id="frame" min="0" value="0" step="1">'
        "</label>"
        '<output id="count" for="frame"></output>'
        '<label class="menu">Speed <select id="rate"><option value="1">1×</option>'
        '<option value="0.5">½×</option><option value="0.25">¼×</option></select></label></div>'
    )


def _panel(
    number: int,
    showcase: Showcase,
    numbered: Sequence[tuple[int, Sheet]],
    styles: Mapping[str, Style],
) -> str:
    feed = iter(numbered)
    given = [("reference", next(feed)), ("dance", next(feed))]
    ceiling = [] if showcase.ceiling is None else [("autoencoder", next(feed))]
    truth = _clip(feed, "truth", len(showcase.truth))
    made = [(each, _clip(feed, each.point.title, len(each.frames))) for each in showcase.made]
    shown = [*given, ("truth", (truth.number, truth.film)), *ceiling]
    first = "".join(_film(*numbered, title=title, fps=showcase.fps) for title, numbered in shown)
    rows = "".join(
        f'<h3><i class="dot {styles[model].name}"></i>{escape(model)}</h3><div class="films">'
        + "".join(
            _film(clip.number, clip.film, title=clip.title, fps=showcase.fps, point=each.point)
            for each, clip in clips
        )
        + "</div>"
        for model, clips in _by_model(made)
    )
    return (
        f'<div class="panel" id="panel-{number}" data-fps="{showcase.fps:g}">'
        f'<h3>Given and true</h3><div class="films given">{first}</div>{rows}'
        f"{_strips(truth, made)}</div>"
    )


def _clip(feed: Iterator[tuple[int, Sheet]], title: str, num_frames: int) -> _Clip:
    number, film = next(feed)
    heat = next(feed)[1] if num_frames > 1 else None
    return _Clip(title=title, film=film, heat=heat, number=number)


def _by_model(
    made: Sequence[tuple[Made, _Clip]],
) -> list[tuple[str, list[tuple[Made, _Clip]]]]:
    models = dict.fromkeys(each.point.model for each, _ in made)
    return [(model, [pair for pair in made if pair[0].point.model == model]) for model in models]


def _film(number: int, sheet: Sheet, *, title: str, fps: float, point: Point | None = None) -> str:
    moving = ""
    if sheet.count > 1:
        moving = (
            f' style="animation:film-{sheet.count}-{sheet.columns} {sheet.count / fps:.4g}s '
            f'step-end infinite" data-count="{sheet.count}"'
        )
    told = title if point is None else f"{point.model} in {title}"
    return (
        f'<figure><div class="film s{number}" role="img" aria-label="{escape(told)}"{moving}></div>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def _strips(truth: _Clip, made: Sequence[tuple[Made, _Clip]]) -> str:
    """Pictures at even moments and, below each, how much changes to the next frame."""
    shown = [_strip(truth, "truth")]
    folded = []
    for each, clip in made:
        strip = _strip(clip, f"{each.point.model}, {each.point.title}")
        (shown if each.point.best else folded).append(strip)
    more = ""
    if folded:
        more = (
            '<details class="strips"><summary>All other numbers of steps</summary>'
            f"{''.join(folded)}</details>"
        )
    return (
        '<h3>Moments, and the change to the next frame</h3><p class="hint">Dark is still, bright '
        "is change; one scale for all rows of a clip. Bright where the truth is dark is flicker, "
        "dark where the truth is bright is motion that is missing.</p>"
        f"{''.join(shown)}{more}"
    )


def _strip(clip: _Clip, title: str) -> str:
    chosen = moments(clip.film.count, count=STRIP)
    pictures = "".join(_still(clip.number, clip.film, frame) for frame in chosen)
    changes = ""
    if clip.heat is not None:
        cells = "".join(
            _still(clip.number + 1, clip.heat, place) for place in range(clip.heat.count)
        )
        changes = (
            f'<div class="strip heat" role="img" aria-label="change to the next frame, '
            f'{escape(title)}">{cells}</div>'
        )
    return (
        f'<figure class="moments"><figcaption>{escape(title)}</figcaption>'
        f'<div class="strip" role="img" aria-label="moments of {escape(title)}">{pictures}</div>'
        f"{changes}</figure>"
    )


def _still(number: int, sheet: Sheet, frame: int) -> str:
    return f'<i class="s{number}" style="background-position:{sheet.place(frame)}"></i>'
