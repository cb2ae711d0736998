"""Comparisons by images, as analysis.significance found them and reports keep them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rpe2d_bench.analysis.real_names import REAL
from rpe2d_bench.analysis.statistics import Gap
from rpe2d_bench.analysis.vocabulary import Quantity
from rpe2d_bench.resolution import Size

REFERENCE = "reference"  # what real images are compared with in a comparison that is the floor


@dataclass(frozen=True)
class ByImages:
    """Entries: metric, train_resolution, test_resolution and the fields of analysis.paired_bootstrap.Comparison."""

    entries: list[dict[str, Any]]

    @cached_property
    def _found(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        return {
            (e["metric"], tuple(e["train_resolution"]), tuple(e["test_resolution"]), e["method"], e["against"]): e
            for e in self.entries
        }

    @cached_property
    def metrics(self) -> set[str]:
        """By which methods are compared."""
        return {metric for metric, *_, method, _ in self._found if method != REAL}

    def gap(self, method: str, other: str, train: Size, test: Size, metric: Quantity) -> tuple[Gap, float] | None:
        """method - other as recorded, and p before any correction; None where it was not worked out."""
        for one, against in ((method, other), (other, method)):
            if entry := self._found.get((metric.key, train, test, one, against)):
                gap = Gap(entry["difference"], entry["seeds"], entry["low"], entry["high"], False, "samples")
                return gap if one == method else gap.reversed(), entry["p"]
        return None
