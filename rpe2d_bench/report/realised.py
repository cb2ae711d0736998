"""The figure of `rpe2d-bench show`: realised frequencies against their base, and where the tokens are."""

from __future__ import annotations

from pathlib import Path

import matplotlib.axes
import matplotlib.style

from rpe2d_bench.encodings.describe import Channel, Realised
from rpe2d_bench.errors import UserError

FORMATS = (".png", ".svg", ".pdf")


def draw(method: str, realised: Realised, path: Path) -> None:
    """Write the figure; the file's ending chooses the format. Raises UserError for another ending."""
    if path.suffix not in FORMATS:
        raise UserError(f"--figure {path}: write a file that ends in {', '.join(FORMATS)}")
    from matplotlib.figure import Figure

    with matplotlib.style.context(Path(__file__).with_name("paper.mplstyle")):
        figure = Figure(figsize=(7.0, 2.9), layout="constrained")
        ramp, places = figure.subplots(1, 2)
        for axis, marker in (("height", "o"), ("width", "x")):
            channels = [channel for channel in realised.channels if channel.axis == axis]
            if channels:
                _ramp(ramp, axis, marker, channels, realised)
        ramp.set(xlabel="channel pair (fast to slow)", ylabel="realised / base frequency", ylim=(0, 1.15))
        if realised.channels:
            ramp.legend(frameon=False)
        for row, values in enumerate(realised.positions.values()):
            places.plot(values, [row] * len(values), "|", markersize=12, color=f"C{row}")
        places.set_yticks(range(len(realised.positions)), list(realised.positions))
        places.set(xlabel="position (tokens of the train grid)", ylim=(-0.7, len(realised.positions) - 0.3))
        figure.suptitle(f"{method}: grid {realised.grid}, trained on {realised.train_grid}, t = {realised.t:g}")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=200)


def _ramp(axes: matplotlib.axes.Axes, axis: str, marker: str, channels: list[Channel], realised: Realised) -> None:
    number = 0 if axis == "height" else 1
    scale = realised.grid.axis(number) / realised.train_grid.axis(number)
    kept = [channel.frequency / channel.base for channel in channels]
    axes.plot([channel.index for channel in channels], kept, marker, label=f"{axis} (s = {scale:g})", fillstyle="none")
    axes.axhline(1 / scale, linewidth=0.6, linestyle="--", color=f"C{number}")  # pure interpolation
