"""Values of a figure's points: in no file of it, shown by the page where a reader points.

They lie in the figure as annotations that are never drawn, so that one function draws a figure and says its values.
"""

from __future__ import annotations

import math

from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rpe2d_bench.analysis.statistics import Estimate
from rpe2d_bench.report.table import decimals, number

PREFIX = "value-"
POINTS = 72  # units of an SVG per inch


def put_value(axes: Axes, x: float, y: float, words: str, series: int | None = None) -> None:
    """What a page says at a point in data coordinates; `series`: whose colour it has."""
    note = axes.annotate(words, (x, y), visible=False, in_layout=False)
    note.set_gid(PREFIX if series is None else f"{PREFIX}{series}")


def spoken(found: Estimate) -> str:
    """'8.61 ± 0.20, 95 % interval 8.41 to 8.81, n = 3'; with two seeds without the interval, as figures draw it."""
    places = decimals(found.mean, found.spread)
    words = number(found.mean, places)
    if found.spread is not None:
        words += f" ± {number(found.spread, places)}"
    if found.n >= 3 and found.low is not None and found.high is not None:
        words += f", 95 % interval {number(found.low, places)} to {number(found.high, places)}"
    return f"{words}, n = {found.n}"


def value_marks(figure: Figure) -> str:
    """SVG of an unseen circle on every point that has a value; to be called when the figure was drawn: its limits are
    final then."""
    scale, height = POINTS / figure.dpi, figure.bbox.height
    found = []
    for axes in figure.axes:
        for note in axes.texts:
            gid = note.get_gid() or ""
            if not gid.startswith(PREFIX):
                continue
            x, y = axes.transData.transform(note.xy)  # type: ignore[attr-defined]
            if math.isfinite(x) and math.isfinite(y):
                series = gid.removeprefix(PREFIX)
                whose = f' data-series="{series}"' if series else ""
                found.append(f'<circle class="value" cx="{x * scale:.1f}" cy="{(height - y) * scale:.1f}" r="5"{whose}>'
                             f"<title>{escape(note.get_text())}</title></circle>")  # fmt: skip
    return "".join(found)
