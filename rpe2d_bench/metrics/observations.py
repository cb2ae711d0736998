"""What is kept of a set of images: the features of every view, and how many images of what size there were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.features import Features


@dataclass(frozen=True)
class Observations:
    """A set of images as the metrics see it; rows of every view belong to the same images."""

    views: dict[str, Features]
    count: int
    resolution: tuple[int, int] | None  # None: images of several sizes, each resized to the net's input
    net: str
    judge: str | None

    def subset(self, index: np.ndarray) -> Observations:
        """The observations of some of the images."""
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
            views: dict[str, Features] = {}
            for view, (net, version, mode) in about["views"].items():
                logits = stored.get(f"{view}.logits")
                views[view] = Features(stored[f"{view}.features"], logits, net, version, mode)
        size = None if about["resolution"] is None else (about["resolution"][0], about["resolution"][1])
        return Observations(views, about["count"], size, about["net"], about["judge"])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path} does not hold observations ({error}); delete it and measure again") from error


def concatenate(parts: Sequence[Observations]) -> Observations:
    """The observations of several batches of images of one resolution, in order."""
    first = parts[0]
    views = {}
    for view, features in first.views.items():
        logits = None
        if features.logits_NK is not None:
            logits = np.concatenate([part.views[view].logits_NK for part in parts])
        rows = np.concatenate([part.views[view].features_ND for part in parts])
        views[view] = replace(features, features_ND=rows, logits_NK=logits)
    return replace(first, views=views, count=sum(part.count for part in parts))
