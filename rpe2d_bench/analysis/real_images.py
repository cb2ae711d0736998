"""What real images score against other real images: the floor of every size, and rulers beside it."""

from __future__ import annotations

from dataclasses import dataclass

from rpe2d_bench.analysis.by_images import REFERENCE, ByImages
from rpe2d_bench.analysis.real_names import REAL
from rpe2d_bench.analysis.statistics import Estimate, Gap, estimate
from rpe2d_bench.analysis.vocabulary import Quantity
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.records import Record


@dataclass(frozen=True)
class RealImages:
    """Real against real images of one run; sizes are (train, test resolution), values as they are shown."""

    records: list[Record]
    by_images: ByImages

    def found(self, train: Size, test: Size, stage: str = "floor") -> list[Record]:
        """One record a seed; records from before 2026-11-23 name no train resolution."""
        of_size = [r for r in self.records if r.stage == stage and r.test_resolution == test and r.status == "ok"]
        return [r for r in of_size if r.train_resolution == train] or [r for r in of_size if r.train_resolution is None]

    def floor(self, train: Size, test: Size, metric: Quantity) -> Estimate | None:
        """What no generator can go below; global and local distances depend on the train resolution."""
        return self._estimate("floor", train, test, metric)

    def floor_interval(self, train: Size, test: Size, metric: Quantity) -> Gap | None:
        """The floor with an interval by images, where that was worked out."""
        found = self.by_images.gap(REAL, REFERENCE, train, test, metric)
        return None if found is None else found[0].times(metric.factor)

    def reconstruction(self, train: Size, test: Size, metric: Quantity) -> Estimate | None:
        """After the autoencoder: what no model behind it can go below."""
        return self._estimate("reconstruction", train, test, metric)

    def ruler(self, kind: str, train: Size, test: Size, metric: Quantity) -> Estimate | None:
        """Of one of the `RULERS`.

        A perfect model that is enlarged by nothing scores what the floor does.
        """
        if kind == "enlarged" and train == test and any(r.stage == kind for r in self.records):
            return self.floor(train, test, metric)
        return self._estimate(kind, train, test, metric)

    def _estimate(self, stage: str, train: Size, test: Size, metric: Quantity) -> Estimate | None:
        found = [record for record in self.found(train, test, stage) if metric.key in record.metrics]
        return estimate([record.metrics[metric.key] * metric.factor for record in found])
