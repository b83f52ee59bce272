"""The section to look at: clips side by side in step, strips of pictures, maps of change."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from quickstep.data.sheet import moments
from quickstep.evaluation.curve.media import Sheet, pack_within
from quickstep.evaluation.curve.plots import Style
from quickstep.evaluation.curve.points import Point, Report, Showcase
from quickstep.evaluation.motion import common_top, difference_heat_map

MOST_FRAMES = 48
"""Frames of a loop: four seconds at 12 a second; a longer clip shows its beginning."""
STRIP = 6
"""Pictures of a strip."""
SCALE_STOPS = 9
"""Colours between which the scale of the maps of change is blended."""


@dataclass(frozen=True)
class Gallery:
    """The section and the style rules that hold its pictures."""

    html: str
    css: str


@dataclass(frozen=True)
class _Clip:
    """A video of a showcase; `change` is its map of change, one picture for each of the strip."""

    title: str
    frames: np.ndarray
    change: np.ndarray | None = None
    point: Point | None = None


@dataclass(frozen=True)
class _Panel:
    """All that is shown of a showcase, before it is packed.

    Attributes:
        showcase: what it is of.
        given: reference, dance and what the autoencoder alone makes of the truth.
        truth: what really happened.
        made: what the points made.
        top: grey levels of change that are shown brightest.
    """

    showcase: Showcase
    given: Sequence[_Clip]
    truth: _Clip
    made: Sequence[_Clip]
    top: float

    def videos(self) -> Iterator[np.ndarray]:
        """Every video to pack."""
        for clip in (*self.given, self.truth, *self.made):
            yield clip.frames
            if clip.change is not None:
                yield clip.change


class _Shelf:
    """Packed videos, found again by the very array that was packed."""

    def __init__(self, panels: Sequence[_Panel], *, budget: int) -> None:
        videos = [video for panel in panels for video in panel.videos()]
        self.sheets = pack_within(videos, budget=budget)
        self._numbers = {id(video): number for number, video in enumerate(videos)}

    def number(self, video: np.ndarray) -> int:
        """The number of a video's style rule."""
        return self._numbers[id(video)]

    def sheet(self, video: np.ndarray) -> Sheet:
        """A video's sheet."""
        return self.sheets[self.number(video)]


def gallery_section(report: Report, styles: Mapping[str, Style], *, budget: int) -> Gallery:
    """Clips, strips and maps of all showcases, packed so that they keep to a budget."""
    if not report.showcases:
        return Gallery(html="", css="")
    panels = [_panel(showcase) for showcase in report.showcases]
    shelf = _Shelf(panels, budget=budget)
    rules = [_window_rule(number, sheet) for number, sheet in enumerate(shelf.sheets)]
    films = {(sheet.count, sheet.columns) for sheet in shelf.sheets}
    rules += [_film_rule(count, columns) for count, columns in sorted(films)]
    rules += [
        f"#clips:has(#clip-{number}:checked) #panel-{number}{{display:block}}"
        for number in range(len(panels))
    ]
    tabs = "".join(_tab(number, panel.showcase) for number, panel in enumerate(panels))
    shown = "".join(
        _panel_html(number, panel, shelf, styles) for number, panel in enumerate(panels)
    )
    html = (
        '<section id="clips"><h2>See for yourself</h2>'
        f'<fieldset class="tabs"><legend>Clip</legend>{tabs}</fieldset>'
        f"{_controls()}{shown}</section>"
    )
    return Gallery(html=html, css="".join(rules))


def _panel(showcase: Showcase) -> _Panel:
    kept = [each.frames[:MOST_FRAMES] for each in showcase.made]
    truth = showcase.truth[:MOST_FRAMES]
    top = common_top([truth, *kept])
    given = [_Clip("reference", showcase.reference[None])]
    given.append(_Clip("dance", showcase.skeletons[:MOST_FRAMES]))
    if showcase.ceiling is not None:
        given.append(_Clip("autoencoder", showcase.ceiling[:MOST_FRAMES]))
    return _Panel(
        showcase=showcase,
        given=given,
        truth=_Clip("truth", truth, _change(truth, top)),
        made=[
            _Clip(each.point.title, frames, _change(frames, top), each.point)
            for each, frames in zip(showcase.made, kept, strict=True)
        ],
        top=top,
    )


def _change(frames: np.ndarray, top: float) -> np.ndarray | None:
    """Maps of the change from each picture of a strip to the frame after it (the last: into it)."""
    if len(frames) < 2:
        return None
    steps = [min(frame, len(frames) - 2) for frame in moments(len(frames), count=STRIP)]
    return difference_heat_map(frames, top=top)[steps]


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


def _panel_html(number: int, panel: _Panel, shelf: _Shelf, styles: Mapping[str, Style]) -> str:
    fps = panel.showcase.fps
    first = "".join(_film(clip, shelf, fps=fps) for clip in (*panel.given[:2], panel.truth))
    first += "".join(_film(clip, shelf, fps=fps) for clip in panel.given[2:])
    rows = "".join(
        f'<h3><i class="dot {styles[model].name}"></i>{escape(model)}</h3><div class="films">'
        + "".join(_film(clip, shelf, fps=fps) for clip in clips)
        + "</div>"
        for model, clips in _by_model(panel.made)
    )
    cut = ""
    if len(panel.showcase.truth) > MOST_FRAMES:
        cut = f'<p class="hint">The first {MOST_FRAMES} of {len(panel.showcase.truth)} frames.</p>'
    return (
        f'<div class="panel" id="panel-{number}" data-fps="{fps:g}">{cut}'
        f'<h3>Given and true</h3><div class="films given">{first}</div>{rows}'
        f"{_strips(panel, shelf)}</div>"
    )


def _by_model(made: Sequence[_Clip]) -> list[tuple[str, list[_Clip]]]:
    found: dict[str, list[_Clip]] = {}
    for clip in made:
        assert clip.point is not None
        found.setdefault(clip.point.model, []).append(clip)
    return list(found.items())


def _film(clip: _Clip, shelf: _Shelf, *, fps: float) -> str:
    sheet, moving = shelf.sheet(clip.frames), ""
    if sheet.count > 1:
        moving = (
            f' style="animation:film-{sheet.count}-{sheet.columns} {sheet.count / fps:.4g}s '
            f'step-end infinite" data-count="{sheet.count}"'
        )
    return (
        f'<figure><div class="film s{shelf.number(clip.frames)}" role="img" '
        f'aria-label="{escape(_told(clip))}"{moving}></div>'
        f"<figcaption>{escape(clip.title)}</figcaption></figure>"
    )


def _told(clip: _Clip) -> str:
    return clip.title if clip.point is None else f"{clip.point.model}, {clip.title}"


def _strips(panel: _Panel, shelf: _Shelf) -> str:
    """Pictures at even moments and, below each, how much changes to the next frame."""
    own = [_own(clips) for _, clips in _by_model(panel.made)]
    others = [clip for clip in panel.made if all(clip is not each for each in own)]
    shown = "".join(_strip(clip, shelf) for clip in (panel.truth, *own))
    more = ""
    if others:
        more = (
            '<details class="strips"><summary>All other numbers of steps</summary>'
            f"{''.join(_strip(clip, shelf) for clip in others)}</details>"
        )
    frames = ", ".join(str(frame + 1) for frame in moments(len(panel.truth.frames), count=STRIP))
    return (
        '<h3>Moments, and the change to the next frame</h3><p class="hint">Frames '
        f"{frames}, and below each how much changes to the next one (below the last: into it), on "
        "one scale for all rows. Bright where the truth is dark is flicker, dark where the truth "
        f"is bright is motion that is missing.</p>{_scale(panel.top)}{shown}{more}"
    )


def _own(clips: Sequence[_Clip]) -> _Clip:
    """A model's clip at the steps it is run with unless told otherwise, else at the most."""
    return next((clip for clip in clips if clip.point and clip.point.best), clips[-1])


def _scale(top: float) -> str:
    """The colours of the maps of change, with grey levels beside them."""
    ramp = np.zeros((2, 1, SCALE_STOPS, 3), np.uint8)
    ramp[1] = np.linspace(0, 255, SCALE_STOPS).round()[:, None]
    colours = difference_heat_map(ramp, top=255.0)[0, 0]
    stops = ",".join("#" + bytes(colour).hex() for colour in colours)
    return (
        '<div class="scale"><span>0</span>'
        f'<i role="img" aria-label="from black, no change, to pale yellow, {top:.0f} grey levels '
        f'or more" style="background:linear-gradient(90deg,{stops})"></i>'
        f"<span>{top:.0f} grey levels or more</span></div>"
    )


def _strip(clip: _Clip, shelf: _Shelf) -> str:
    sheet, title = shelf.sheet(clip.frames), escape(_told(clip))
    number = shelf.number(clip.frames)
    chosen = moments(sheet.count, count=STRIP)
    pictures = "".join(_still(number, sheet, frame) for frame in chosen)
    changes = ""
    if clip.change is not None:
        map_sheet, map_number = shelf.sheet(clip.change), shelf.number(clip.change)
        cells = "".join(_still(map_number, map_sheet, place) for place in range(map_sheet.count))
        changes = (
            '<div class="strip heat" role="img" '
            f'aria-label="change to the next frame, {title}">{cells}</div>'
        )
    return (
        f'<figure class="moments"><figcaption>{title}</figcaption>'
        f'<div class="strip" role="img" aria-label="moments of {title}">{pictures}</div>'
        f"{changes}</figure>"
    )


def _still(number: int, sheet: Sheet, frame: int) -> str:
    return f'<i class="s{number}" style="background-position:{sheet.place(frame)}"></i>'
