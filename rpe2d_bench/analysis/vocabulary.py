"""How metrics and resolutions are named, and which way is better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rpe2d_bench.analysis.statistics import Scale
from rpe2d_bench.errors import unknown
from rpe2d_bench.storage.records import Resolution


@dataclass(frozen=True)
class Metric:
    """What a reader needs to know about a number."""

    key: str  # as in Record.metrics
    label: str
    explanation: str
    better: str | None  # "lower", "higher" or None when this package does not know
    factor: float = 1.0  # what is shown = factor x what is recorded
    unit: str = ""

    @property
    def arrow(self) -> str:
        return {"lower": "↓", "higher": "↑"}.get(self.better or "", "")

    @property
    def has_floor(self) -> bool:
        """Whether real images have a value of it: what looks into a model says nothing of them."""
        return not self.key.startswith(OF_MODELS)

    @property
    def scale(self) -> Scale:
        """On what trained models are compared: distances by ratio, shares by odds ratio, all else by difference."""
        if self.key.split("_")[0] in DISTANCES:
            return "ratio"
        return "odds ratio" if self.unit == "%" else "difference"

    @property
    def heading(self) -> str:
        """'KID-glyphnet × 1000 ↓'."""
        scale = {1.0: "", 100.0: " (%)"}.get(self.factor, f" × {self.factor:g}")
        return f"{self.label}{scale} {self.arrow}".rstrip()


DISTANCES = ("kid", "fd", "fid", "sfid")  # seeds move them by a factor, not by an amount
OF_MODELS = ("attention_entropy", "denoising_loss")  # prefixes of metrics that look into the model

# prefix of the recorded name -> (label, better, factor, explanation)
KINDS: dict[str, tuple[str, str | None, float, str]] = {
    "fd": ("FD", "lower", 1.0, "Fréchet distance between generated and real images in the features of the named net"),
    "fd_infinity": ("FD∞", "lower", 1.0, "Fréchet distance extrapolated to infinitely many images"),
    "fd_global": ("Global FD", "lower", 1.0, "Fréchet distance after resizing to the train resolution: structure only"),
    "fd_local": ("Local FD", "lower", 1.0, "Fréchet distance of crops of the train size at native resolution, each"
                 " compared with real crops at the same place: detail only"),
    "kid_global": ("Global KID", "lower", 1000.0, "kernel distance after resizing to the train resolution: structure"
                   " only"),
    "kid_local": ("Local KID", "lower", 1000.0, "kernel distance of crops of the train size at native resolution:"
                  " detail only"),
    "repetition": ("Repetition", "lower", 100.0, "share of images that repeat themselves more than 99 % of real"
                   " images do, as tiled objects would"),
    "object_count": ("Object count", "lower", 1.0, "distance between the numbers of objects in generated and real"
                     " images"),
    "object_size": ("Object size", "lower", 1.0, "distance between the sizes of objects in generated and real"
                    " images"),
    "memorization": ("Memorization", "lower", 100.0, "share of generated images nearer to a training image than to"
                     " an unseen one; 50 % without memorization"),
    "fid": ("FID", "lower", 1.0, "Fréchet distance in the features of the standard Inception net"),
    "kid": ("KID", "lower", 1000.0, "kernel distance (unbiased, so it can be below zero) between generated and real"
            " images in the features of the named net"),
    "precision": ("Precision", "higher", 100.0, "share of generated images that lie among the real ones"),
    "recall": ("Recall", "higher", 100.0, "share of real images that the generated ones reach"),
    "density": ("Density", "higher", 1.0, "how densely real images surround the generated ones"),
    "coverage": ("Coverage", "higher", 100.0, "share of real images with a generated one nearby"),
    "accuracy": ("Accuracy", "higher", 100.0, "share of generated images in which an independent classifier sees the"
                 " class that was asked for"),
    "sfid": ("sFID", "lower", 1.0, "Fréchet distance in spatial features of the standard Inception net"),
    "inception_score": ("Inception score", "higher", 1.0, "how sure and how varied the standard Inception net is"),
    "attention_entropy": ("Attention entropy", None, 1.0, "entropy of attention rows over the most that the grid"
                          " allows, minus the same on the train grid: above 0 attention is spread wider"),
    "attention_entropy_nats": ("Attention entropy, nats", None, 1.0, "entropy of attention rows minus that on the train"
                               " grid"),
    "denoising_loss": ("Denoising loss", "lower", 1.0, "error of the velocity on noised real images of the test"
                       " resolution, mean over times, before any sampling"),
    "loss": ("Loss", "lower", 1.0, "training loss"),
    "validation_loss": ("Validation loss", "lower", 1.0, "loss on the validation split"),
    "images_per_second": ("Images per second", "higher", 1.0, "training speed"),
}  # fmt: skip


def describe(key: str) -> Metric:
    """The metric a recorded name stands for: the longest known prefix, then the name of the net."""
    for prefix in sorted(KINDS, key=len, reverse=True):
        if key == prefix or key.startswith(prefix + "_"):
            label, better, factor, explanation = KINDS[prefix]
            net = key.removeprefix(prefix).removeprefix("_")
            unit = "%" if factor == 100.0 else ""
            return Metric(key, f"{label}-{net}" if net else label, explanation, better, factor, unit)
    return Metric(key, key, "not described by this package", None)


def resolve_metric(name: str, recorded: Iterable[str]) -> str | None:
    """The recorded name that `name` means: 'kid' -> 'kid_glyphnet'. None while nothing has been measured."""
    keys = sorted(set(recorded))
    if not keys:
        return None
    if name in keys:
        return name
    # The shortest: 'kid' means kid_glyphnet, not kid_global_glyphnet.
    matches = sorted((key for key in keys if key.startswith(name + "_")), key=len)
    if not matches:
        raise unknown("metric", name, keys)
    return matches[0]


def legend_label(name: str) -> str:
    """A name in a figure's legend, which leaves out what begins with an underscore."""
    return f" {name}" if name.startswith("_") else name


def size_label(resolution: Resolution | None) -> str:
    """'32' for a square, '32×64' (height × width) otherwise."""
    if resolution is None:
        return "–"
    height, width = resolution
    return str(height) if height == width else f"{height}×{width}"


def scale_label(test: Resolution, train: Resolution) -> str:
    """'1.5×' where both axes grow alike, '1×·2×' (height · width) otherwise."""
    scales = [f"{test[axis] / train[axis]:.3g}×" for axis in (0, 1)]
    return scales[0] if scales[0] == scales[1] else "·".join(scales)


def side(resolution: Resolution) -> float:
    """The side of the square with the same area, in pixels."""
    return float((resolution[0] * resolution[1]) ** 0.5)
