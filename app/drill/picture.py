"""A timeline as inline SVG: plots that stretch with the page, words that do not."""

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Final

from app.drill.timeline import Band, Line, Panel, Timeline

WIDTH, HEIGHT = 1_000, 100
"""Of a plot, in its own units."""
TICKS: Final = 6
APART: Final = 0.08
"""Least distance of two fault marks, as a share of the width."""
NAMED_MAX: Final = 10
"""Faults that are named over the picture; the table has all."""
EDGES_MAX: Final = 30
"""With more bands than these their edges would hide the lines."""
BAND_LEAST: Final = 3.0
"""Least width of a band: a fault of some milliseconds is seen, too."""
STEPS_S: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 3_600, 14_400)
"""Between two ticks of the axis."""
IN_SECONDS_TO: Final = 120


def picture(timeline: Timeline) -> str:
    """The panels one below the other, faults as bands through all of them."""
    panels = "\n".join(
        _panel(panel, number, timeline) for number, panel in enumerate(timeline.panels)
    )
    return f"{_marks(timeline)}\n{panels}\n{_axis(timeline.seconds)}"


def _marks(timeline: Timeline) -> str:
    """The faults' numbers over the bands; the table below names them all."""
    shown, last = [], -1.0
    for number, band in enumerate(timeline.bands, 1):
        middle = (band.start + band.end) / 2 / timeline.seconds
        if middle - last < APART:
            continue
        last = middle
        name = escape(band.name)
        shown.append(f'<span style="left:{middle:.2%}" title="{name}">{number}</span>')
    names = "; ".join(
        f"{n}: {escape(band.name)}" for n, band in enumerate(timeline.bands[:NAMED_MAX], 1)
    )
    more = len(timeline.bands) - NAMED_MAX
    names += f"; and {more} more, listed below" if more > 0 else ""
    words = f'<p class="soft">Faults: {names}.</p>' if names else ""
    return f'{words}<div class="marks" aria-hidden="true">{"".join(shown)}</div>'


def _panel(panel: Panel, number: int, timeline: Timeline) -> str:
    # A line that is alone is what the heading says.
    named = panel.lines if len(panel.lines) > 1 else ()
    keys = "".join(_key(line, i) for i, line in enumerate(named, 1))
    drawn = "".join(
        f'<path class="c{i}" d="{_path(line, timeline.seconds, panel.top)}"/>'
        for i, line in enumerate(panel.lines, 1)
    )
    edged = len(timeline.bands) <= EDGES_MAX
    bands = "".join(_band(band, timeline.seconds, edged=edged) for band in timeline.bands)
    words = escape(_in_words(panel))
    return (
        f"<figure><figcaption><h3>{escape(panel.title)}</h3>"
        f'<span class="soft">{escape(panel.about)}</span><span class="key">{keys}</span>'
        f'</figcaption><div class="plot">'
        f'<b style="top:0">{panel.top:,}</b><b style="top:50%">{panel.top / 2:,.0f}</b>'
        f'<b style="top:100%">0</b>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-labelledby="t{number} d{number}">'
        f'<title id="t{number}">{escape(panel.title)} over time</title>'
        f'<desc id="d{number}">{words}</desc>{bands}'
        f'<path class="grid" d="M0 0H{WIDTH}M0 {HEIGHT / 2:g}H{WIDTH}"/>'
        f'<path class="base" d="M0 {HEIGHT}H{WIDTH}"/>{drawn}</svg></div></figure>'
    )


def _key(line: Line, number: int) -> str:
    stroke = f'<path class="c{number}" d="M1 4H25"/>'
    return (
        f'<span><svg viewBox="0 0 26 8" aria-hidden="true">{stroke}</svg>{escape(line.name)}</span>'
    )


def _band(band: Band, seconds: float, *, edged: bool) -> str:
    left, right = (WIDTH * each / seconds for each in (band.start, band.end))
    width = max(right - left, BAND_LEAST)
    edge = f'<path class="edge" d="M{left:.1f} 0V{HEIGHT}"/>' if edged else ""
    return (
        f'<rect class="band" x="{left:.1f}" y="0" width="{width:.1f}" height="{HEIGHT}">'
        f"<title>{escape(band.name)}</title></rect>{edge}"
    )


def _path(line: Line, seconds: float, top: float) -> str:
    """Strokes between readings; where one failed the line is broken."""
    return "".join(_strokes(line, seconds, top))


def _strokes(line: Line, seconds: float, top: float) -> Iterator[str]:
    points = zip(line.seconds, line.values, strict=True)
    for known, run in groupby(points, key=lambda point: point[1] is not None):
        if known:
            placed = [
                f"{WIDTH * at / seconds:.1f} {HEIGHT * (1 - (value or 0) / top):.1f}"
                for at, value in run
            ]
            # A lone reading is a dot: a stroke of no length with round ends.
            yield "M" + "L".join(placed) + ("h0" if len(placed) == 1 else "")


def _axis(seconds: float) -> str:
    step = next((each for each in STEPS_S if seconds / each <= TICKS), STEPS_S[-1])
    ticks = [at for at in range(0, int(seconds), step) if at < seconds - step / 2]
    placed = [f'<span style="left:{at / seconds:.2%}">{_clock(at)}</span>' for at in ticks]
    placed.append(f'<span style="left:100%">{_clock(seconds)}</span>')
    return f'<div class="axis" aria-hidden="true">{"".join(placed)}</div>'


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < IN_SECONDS_TO else f"{seconds / 60:.0f} min"


def _in_words(panel: Panel) -> str:
    """The highest of each line and when, and how often there was no answer."""
    said = []
    for line in panel.lines:
        if not line.values:
            continue
        at = max(zip(line.seconds, line.values, strict=True), key=lambda p: p[1] or 0)[0]
        text = f"{line.name}: highest {line.highest:,.0f} at {at:.0f} s"
        missing = sum(1 for each in line.values if each is None)
        said.append(text + (f", no answer at {missing} samples" if missing else ""))
    return "; ".join(said) + "."
