"""Images -> observations -> values. Observations are what is kept: reference observations serve every method.

reference = observe(real_images, metrics=["fd", "accuracy"], net="glyphnet", judge="glyphjudge")
generated = observe(images, metrics=["fd", "accuracy"], net="glyphnet", judge="glyphjudge")
measurement = score(generated, reference, labels, metrics=["fd", "accuracy"])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import views
from rpe2d_bench.metrics.metric import Inputs
from rpe2d_bench.metrics.nets.features import FeatureNet, Features, check_images
from rpe2d_bench.metrics.nets.table import Classes, load_net
from rpe2d_bench.metrics.observations import Observations
from rpe2d_bench.metrics.table import METRICS, value_name
from rpe2d_bench.resolution import Size


@dataclass(frozen=True)
class Measurement:
    """Values by name (`fd_glyphnet`, ...), the versions behind them, and everything a reader may ask about them."""

    values: dict[str, float]
    versions: dict[str, str]
    details: dict[str, Any] = field(default_factory=dict)


def observe(
    images: np.ndarray,
    *,
    metrics: Sequence[str],
    net: str | FeatureNet,
    judge: str | FeatureNet | None = None,
    train_resolution: Size | None = None,
    classes: Classes | None = None,
    batch_size: int = 64,
    device: str = "cpu",
) -> Observations:
    """Everything the metrics need of uint8 images [N, C, H, W].

    `train_resolution` is what global and local distances are relative to; `classes` are the names of the labels.
    """
    check_images(images)
    seeing, judging = _loaded(net, classes), None if judge is None else _loaded(judge, classes)
    seen: dict[str, Features] = {}
    needed = {METRICS[name].view for name in metrics}
    for view in sorted(needed, key=lambda view: (view != "whole", view)):  # others may coincide with the whole
        seen |= views.build(view, images, seeing, judging, train_resolution, seen, batch_size=batch_size, device=device)
    size = (int(images.shape[2]), int(images.shape[3]))
    return Observations(seen, len(images), size, seeing.name, None if judging is None else judging.name)


def _loaded(net: str | FeatureNet, classes: Classes | None) -> FeatureNet:
    return load_net(net, classes=classes) if isinstance(net, str) else net


def score(
    generated: Observations,
    reference: Observations,
    labels: np.ndarray | None = None,
    *,
    metrics: Sequence[str],
    reference_labels: np.ndarray | None = None,
    training: Observations | None = None,
    drawn: bool = False,
    seed: int = 0,
) -> Measurement:
    """The values of metrics on two sets of observations; raises UserError where a value is not defined.

    With the labels of both sides KID is unbiased for the class counts that they fix; `drawn`: labels of the generated
    images are independent draws, so that only the reference's counts are fixed.
    `training` are observations of training images at the same resolution, for the memorization check.
    """
    for other in (reference, training):
        if other is not None:
            _check_fit(generated, other)
    for side, given in ((generated, labels), (reference, reference_labels)):
        if given is not None and len(given) != side.count:
            raise UserError(f"{side.count} images but {len(given)} labels; each image needs its label")
    values: dict[str, float] = {}
    versions: dict[str, str] = {}
    notes: dict[str, str] = {}
    better: dict[str, str] = {}
    for name in metrics:
        metric = METRICS[name]
        key = value_name(name, generated.net, generated.judge)
        scores = []
        for view in views.names_of(metric.view, generated.views):
            seen, real = generated.views[view], _same_net(reference, view, generated.views[view])
            trained = None if training is None or not metric.training else _same_net(training, view, seen)
            assert metric.compute is not None  # validate sees to it
            scores.append(metric.compute(Inputs(seen, real, labels, reference_labels, trained, seed, drawn)))
        values[key] = float(np.mean([value for value, _ in scores]))
        notes[key] = scores[0][1]
        if metric.view == "local":
            by_place = ", ".join(f"{value:.4g}" for value, _ in scores)
            notes[key] = f"mean over {len(scores)} places: {by_place}. {notes[key]}".strip()
        versions[key] = f"{metric.version}+{seen.net}-{seen.net_version}"
        better[key] = metric.better
    warnings = []
    if generated.count != reference.count:
        warnings.append(f"unequal counts: {generated.count} generated, {reference.count} reference images")
    details = {
        "counts": {"generated": generated.count, "reference": reference.count},
        "resolution": None if generated.resolution is None else list(generated.resolution),
        "resize": {view: features.resize for view, features in generated.views.items()},
        "quantised": "uint8",
        "notes": {key: note for key, note in notes.items() if note},
        "better": better,
        "warnings": warnings,
    }
    return Measurement(values, versions, details)


def _check_fit(generated: Observations, other: Observations) -> None:
    if (generated.net, generated.judge) != (other.net, other.judge):
        raise UserError(f"generated and reference images were seen by {generated.net} and {other.net}; use one")
    if generated.resolution != other.resolution:
        raise UserError(
            f"generated images are {_size(generated.resolution)}, references {_size(other.resolution)}; "
            "make the reference at the generated resolution"
        )


def _same_net(other: Observations, view: str, seen: Features) -> Features:
    views.names_of(view, other.views)  # type: ignore[arg-type]
    found = other.views[view]
    if (seen.net, seen.net_version) != (found.net, found.net_version):
        raise UserError(
            f"features come from {seen.net} {seen.net_version} and from {found.net} {found.net_version}; measure again"
        )
    return found


def _size(resolution: Size | None) -> str:
    return "of several sizes" if resolution is None else f"{resolution[0]}x{resolution[1]} pixels"
