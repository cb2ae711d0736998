"""Pictures -> observations -> values. Observations are what is kept: reference observations serve every method.

    reference = observe(real_pictures, metrics=["fd", "accuracy"], net="glyphnet", judge="glyphjudge")
    generated = observe(pictures, metrics=["fd", "accuracy"], net="glyphnet", judge="glyphjudge")
    measurement = score(generated, reference, labels, metrics=["fd", "accuracy"])
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.features import FeatureNet, Features, check_pictures, extract
from rpe2d_bench.metrics.nets import load_net
from rpe2d_bench.metrics.table import METRICS, Inputs, View, validate, value_name


@dataclass(frozen=True)
class Observations:
    """A set of pictures as the metrics see it: features per view, and how many pictures of what size there were."""

    views: dict[View, Features]
    count: int
    resolution: tuple[int, int]
    net: str
    judge: str | None

    def subset(self, index: np.ndarray) -> Observations:
        """The observations of some of the pictures."""
        views = {view: features.subset(index) for view, features in self.views.items()}
        return replace(self, views=views, count=len(index))

    def save(self, path: Path) -> None:
        """Write as one .npz without pickles; `load_observations` reads it back."""
        arrays: dict[str, np.ndarray] = {}
        about: dict[str, Any] = {
            "count": self.count, "resolution": self.resolution, "net": self.net, "judge": self.judge, "views": {},
        }  # fmt: skip
        for view, features in self.views.items():
            arrays[f"{view}.features"] = features.features_ND
            if features.logits_NK is not None:
                arrays[f"{view}.logits"] = features.logits_NK
            about["views"][view] = [features.net, features.net_version, features.resize]
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


def load_observations(path: Path) -> Observations:
    """Read what `Observations.save` wrote."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            views: dict[View, Features] = {}
            for view, (net, version, mode) in about["views"].items():
                logits = stored.get(f"{view}.logits")
                views[view] = Features(stored[f"{view}.features"], logits, net, version, mode)
        height, width = about["resolution"]
        return Observations(views, about["count"], (height, width), about["net"], about["judge"])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path} does not hold observations ({error}); delete it and measure again") from error


@dataclass(frozen=True)
class Measurement:
    """Values by name (`fd_glyphnet`, ...), the versions behind them, and everything a reader may ask about them."""

    values: dict[str, float]
    versions: dict[str, str]
    details: dict[str, Any] = field(default_factory=dict)


def observe(
    pictures: np.ndarray,
    *,
    metrics: Sequence[str],
    net: str | FeatureNet,
    judge: str | FeatureNet | None = None,
    batch_size: int = 64,
    device: str = "cpu",
    expected: int | None = None,
) -> Observations:
    """Everything the metrics need of uint8 pictures [N, C, H, W]; `expected` pictures must really be there."""
    check_pictures(pictures, at_least=expected or 1)
    seeing, judging = _loaded(net), None if judge is None else _loaded(judge)
    views: dict[View, Features] = {}
    for view in dict.fromkeys(METRICS[name].needs for name in metrics):
        if view == "judge":
            if judging is None:
                raise UserError("accuracy needs a judge, a classifier other than the feature net; name one")
            views[view] = extract(pictures, judging, batch_size=batch_size, device=device)
        else:
            views[view] = extract(pictures, seeing, batch_size=batch_size, device=device)
    size = (int(pictures.shape[2]), int(pictures.shape[3]))
    return Observations(views, len(pictures), size, seeing.name, None if judging is None else judging.name)


def _loaded(net: str | FeatureNet) -> FeatureNet:
    return load_net(net) if isinstance(net, str) else net


def score(
    generated: Observations,
    reference: Observations,
    labels: np.ndarray | None = None,
    *,
    metrics: Sequence[str],
    seed: int = 0,
) -> Measurement:
    """The values of metrics on two sets of observations; raises UserError where a value is not defined."""
    if (generated.net, generated.judge) != (reference.net, reference.judge):
        raise UserError(f"generated and reference pictures were seen by {generated.net} and {reference.net}; use one")
    if generated.resolution != reference.resolution:
        raise UserError(
            f"generated pictures are {_size(generated.resolution)} pixels, "
            f"references {_size(reference.resolution)}; make the reference at the generated resolution"
        )
    if labels is not None and len(labels) != generated.count:
        raise UserError(f"{generated.count} pictures but {len(labels)} labels; each picture needs its label")
    values: dict[str, float] = {}
    versions: dict[str, str] = {}
    notes: dict[str, str] = {}
    better: dict[str, str] = {}
    for name in metrics:
        metric = METRICS[name]
        key = value_name(name, generated.net, generated.judge)
        seen, real = generated.views[metric.needs], reference.views[metric.needs]
        if (seen.net, seen.net_version) != (real.net, real.net_version):
            raise UserError(f"features come from {seen.net} {seen.net_version} and {real.net} {real.net_version}")
        values[key], notes[key] = metric.compute(Inputs(seen, real, labels, seed))
        versions[key] = f"{metric.version}+{seen.net}-{seen.net_version}"
        better[key] = "higher" if metric.higher_is_better else "lower"
    warnings = []
    if generated.count != reference.count:
        warnings.append(f"unequal counts: {generated.count} generated, {reference.count} reference pictures")
    details = {
        "counts": {"generated": generated.count, "reference": reference.count},
        "resolution": list(generated.resolution),
        "resize": {view: features.resize for view, features in generated.views.items()},
        "quantised": "uint8",
        "notes": {key: note for key, note in notes.items() if note},
        "better": better,
        "warnings": warnings,
    }
    return Measurement(values, versions, details)


def _size(resolution: tuple[int, int]) -> str:
    return f"{resolution[0]}x{resolution[1]}"


def measure(
    generated: np.ndarray,
    labels: np.ndarray | None,
    reference: np.ndarray,
    *,
    metrics: Sequence[str],
    net: str,
    judge: str | None = None,
    seed: int = 0,
) -> Measurement:
    """Observe both sets of pictures and score them: the whole of a measurement in one call."""
    names = validate(metrics, net, judge)
    seen = observe(generated, metrics=names, net=net, judge=judge)
    real = observe(reference, metrics=names, net=net, judge=judge)
    return score(seen, real, labels, metrics=names, seed=seed)
