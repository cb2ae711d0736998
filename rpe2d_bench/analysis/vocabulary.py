"""What recorded numbers mean: a Quantity for every name in a record; how resolutions are named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rpe2d_bench.analysis.statistics import Scale
from rpe2d_bench.errors import unknown
from rpe2d_bench.metrics.metric import INSIDE
from rpe2d_bench.metrics.nets.inputs import INPUTS
from rpe2d_bench.metrics.table import split_value_name
from rpe2d_bench.resolution import Size


@dataclass(frozen=True)
class Quantity:
    """What a reader needs to know about a recorded number: a metric through a net, or what a training recorded."""

    key: str  # as in Record.metrics
    label: str
    explanation: str
    better: str | None  # "lower", "higher" or None when this package does not know
    factor: float = 1.0  # what is shown = factor x what is recorded
    unit: str = ""
    name: str = ""  # as in experiment files, without a net
    blind_above: Size | None = None  # pixels at which the net sees whole images
    has_floor: bool = True  # whether real images have a value of it: what looks into a model says nothing of them
    net: str = ""  # which the label ends with
    scale: Scale = "difference"  # on what trained models are compared

    @property
    def short(self) -> str:
        """The label where the net is clear."""
        return self.label.removesuffix(f"-{self.net}")

    @property
    def arrow(self) -> str:
        return {"lower": "↓", "higher": "↑"}.get(self.better or "", "")

    @property
    def heading(self) -> str:
        """'KID-glyphnet × 1000 ↓'."""
        scale = {1.0: "", 100.0: " (%)"}.get(self.factor, f" × {self.factor:g}")
        return f"{self.label}{scale} {self.arrow}".rstrip()


TRAINING = {  # what trainings record, which no metric of images is
    "loss": ("Loss", "lower", "training loss"),
    "validation_loss": ("Validation loss", "lower", "loss on the validation split"),
    "images_per_second": ("Images per second", "higher", "training speed"),
}


def describe(key: str) -> Quantity:
    """What a recorded name stands for; the name itself where nothing installed here is called so."""
    if key in TRAINING:
        label, better, explanation = TRAINING[key]
        return Quantity(key, label, explanation, better, name=key)
    known, net = split_value_name(key)
    if known is None:
        return Quantity(key, key, "not described by this package", None, name=key)
    return Quantity(
        key,
        f"{known.label}-{net}" if net else known.label,
        known.explanation,
        None if known.better == "neither" else known.better,
        known.factor,
        "%" if known.factor == 100.0 else "",
        known.name,
        INPUTS.get(net) if known.view == "whole" else None,
        known.view not in INSIDE,
        net or "",
        known.compared,
    )


def blind_spot(metric: Quantity, tests: Iterable[Size]) -> str | None:
    """Where a metric's net cannot see whether an image has the detail of its size, in a sentence; None if nowhere."""
    limit = metric.blind_above
    larger = [size_label(t) for t in tests if limit is not None and (t[0] > limit[0] or t[1] > limit[1])]
    if limit is None or not larger:
        return None
    return (
        f"The net sees images at {size_label(limit)} px: at {', '.join(larger)} px it cannot tell finer detail from its"
        " absence. Local distances can."
    )


def resolve_metric(name: str, recorded: Iterable[str]) -> str | None:
    """The recorded name that `name` means: 'kid' -> 'kid_glyphnet'. None while nothing has been measured."""
    keys = sorted(set(recorded))
    if not keys or name in keys:
        return name if keys else None
    matches = [key for key in keys if describe(key).name == name]
    if not matches:
        raise unknown("metric", name, keys)
    return matches[0]


def legend_label(name: str) -> str:
    """A name in a figure's legend, which leaves out what begins with an underscore."""
    return f" {name}" if name.startswith("_") else name


def size_label(resolution: Size | None) -> str:
    """'32' for a square, '32×64' (height × width) otherwise."""
    if resolution is None:
        return "–"
    height, width = resolution
    return str(height) if height == width else f"{height}×{width}"


def scale_label(test: Size, train: Size) -> str:
    """'1.5×' where both axes grow alike, '1×·2×' (height · width) otherwise."""
    scales = [f"{test[axis] / train[axis]:.3g}×" for axis in (0, 1)]
    return scales[0] if scales[0] == scales[1] else "·".join(scales)


def side(resolution: Size) -> float:
    """The side of the square with the same area, in pixels."""
    return float((resolution[0] * resolution[1]) ** 0.5)
