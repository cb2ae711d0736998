"""Features of images on disk, kept for the next call: raw float32 rows and a description with the digest of each file.

The address is the content of the images and whatever else decides a number, such as the nets; paths never enter it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.metrics.nets.features import Features
from rpe2d_bench.metrics.observations import Observations
from rpe2d_bench.storage.digests import Damaged, read_stamped, stamped
from rpe2d_bench.storage.files import sha256_of_file, sha256_of_json, write_json

VERSION = "2"  # raised with every change that can move a feature or what is kept of it
FOLDER, ABOUT = "features", "about.json"

Account = dict[str, Any]  # what was read of a set of images, for the reader of the result
Taken = tuple[Observations, Account]


@dataclass(frozen=True)
class Kept:
    """The place of one set's features; `question` is what they depend on, as a JSON object."""

    folder: Path
    question: dict[str, Any]

    @property
    def place(self) -> Path:
        return self.folder / sha256_of_json({"version": VERSION, **self.question})[:32]

    def read(self, say: Callable[[str], None]) -> Taken | None:
        """What an earlier call kept, its rows as memory maps; None where there is nothing, or it is damaged: said."""
        try:
            about = read_stamped(self.place / ABOUT)
            views = {view: self._features(view, *described) for view, described in about["views"].items()}
        except FileNotFoundError:
            if not self.place.exists():
                return None
            say(f"{self.place} is not whole; its features are taken again")
        except (Damaged, KeyError, TypeError, ValueError):
            say(f"{self.place} is not as it was written; its features are taken again")
        else:
            size = about["resolution"] and (about["resolution"][0], about["resolution"][1])
            return Observations(views, about["count"], size, about["net"], about["judge"]), about["account"]
        shutil.rmtree(self.place)
        return None

    def take(self, fill: Callable[[Path], Taken]) -> Taken:
        """Let `fill` take the features into a folder, and keep it. Raises OSError where that can't be written."""
        temporary = self.folder / f".{self.place.name}.{os.getpid()}"
        temporary.mkdir(parents=True)
        try:
            seen, account = fill(temporary)
            size = None if seen.resolution is None else [*seen.resolution]
            views = {view: _described(temporary, view, features) for view, features in seen.views.items()}
            about = {"count": seen.count, "resolution": size, "net": seen.net, "judge": seen.judge}
            write_json(temporary / ABOUT, stamped({**about, "account": account, "views": views}))
            if not self.place.exists():  # another process may have been faster
                temporary.rename(self.place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # rows that are mapped stay readable
        return seen, account

    def _features(self, view: str, net: str, version: str, resize: str, digests: dict[str, list[Any]]) -> Features:
        rows = {}
        for kind, (digest, width) in digests.items():
            path = self.place / f"{view}.{kind}"
            if sha256_of_file(path) != digest:
                raise Damaged(f"{path.name} does not match its digest")
            rows[kind] = np.memmap(path, np.float32, "r").reshape(-1, width)
        return Features(rows["features"], rows.get("logits"), net, version, resize)


def _described(folder: Path, view: str, features: Features) -> list[Any]:
    arrays = {"features": features.features_ND, "logits": features.logits_NK}
    digests = {
        kind: [sha256_of_file(folder / f"{view}.{kind}"), rows.shape[1]]
        for kind, rows in arrays.items()
        if rows is not None
    }
    return [features.net, features.net_version, features.resize, digests]
