"""Two runs side by side: what was changed, and which numbers moved by more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rpe2d_bench.analysis.differences import ALPHA, common_scale, over_seeds
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import SEEDS_FOR_A_CLAIM, Gap, Scale, holm
from rpe2d_bench.analysis.vocabulary import Quantity, size_label
from rpe2d_bench.errors import UserError
from rpe2d_bench.report.sentence import join
from rpe2d_bench.report.table import Cell, Row, Table, difference_cell
from rpe2d_bench.report.tables import SAME, at, by_size, compared_by, plain_cell
from rpe2d_bench.report.two_runs.settings import Change, changed
from rpe2d_bench.resolution import Size

ASKED = f"{SEEDS_FOR_A_CLAIM} shared training seeds are asked for before a change is called more than noise"


@dataclass(frozen=True)
class Changes:
    """Run `second` against run `first`, on what both measured."""

    first: Results
    second: Results

    @cached_property
    def names(self) -> tuple[str, str]:
        """Experiment names where they differ, else with the runs' short names."""
        one, two = self.first.name, self.second.name
        if one != two:
            return one, two
        return tuple(f"{r.name} ({r.newest.run.removeprefix(r.name + '-')[:12]})" for r in (self.first, self.second))  # type: ignore[return-value]

    @cached_property
    def settings(self) -> list[Change]:
        """Every setting of the two experiments that differs, then code, machine and package versions."""
        return changed(self.first, self.second)

    @cached_property
    def metrics(self) -> list[Quantity]:
        known = {metric.key for metric in self.second.metrics}
        found = [metric for metric in self.first.metrics if metric.key in known]
        if not found:
            ours, theirs = ([m.key for m in r.metrics] or ["none"] for r in (self.first, self.second))
            raise UserError(f"the two runs share no metric: {', '.join(ours)} against {', '.join(theirs)}")
        return found

    @cached_property
    def methods(self) -> list[str]:
        return [method for method in self.first.methods if method in self.second.methods]

    @cached_property
    def resolutions(self) -> dict[Size, list[Size]]:
        both = {}
        for train, tests in self.first.resolutions.items():
            others = self.second.resolutions.get(train, [])
            if shared := [test for test in tests if test in others]:
                both[train] = shared
        return both

    def gap(self, method: str, train: Size, test: Size, metric: Quantity) -> Gap | None:
        """second - first over the seeds both have; None where they share none, or are the same images."""
        return self._gaps[metric.key].get((method, train, test))

    def same_images(self, method: str, train: Size, test: Size) -> bool:
        """Whether both runs hold the same stage for every seed."""
        first, second = self._keys(method, train, test)
        return bool(first) and first == second

    def _keys(self, method: str, train: Size, test: Size) -> tuple[frozenset[Any], frozenset[Any]]:
        one, other = (
            frozenset((r.seed, r.key) for r in results.cell(method, train, test) if r.status == "ok")
            for results in (self.first, self.second)
        )
        return one, other

    @cached_property
    def cells(self) -> list[tuple[tuple[str, ...], Size, Size]]:
        """(methods, train, test resolution) of what both runs measured; methods that coincide in both are one cell."""
        found: dict[tuple[Any, ...], list[str]] = {}
        for train, tests in self.resolutions.items():
            for test in tests:
                for method in self.methods:
                    keys = self._keys(method, train, test)
                    if all(keys):
                        found.setdefault((train, test, keys), []).append(method)
        return [(tuple(methods), train, test) for (train, test, _), methods in found.items()]

    @cached_property
    def _gaps(self) -> dict[str, dict[tuple[str, Size, Size], Gap]]:
        """Metric -> cell -> second - first; Holm's correction over all cells that are not the same images."""
        return {metric.key: self._tested(metric) for metric in self.metrics}

    def _tested(self, metric: Quantity) -> dict[tuple[str, Size, Size], Gap]:
        raw = []
        for methods, train, test in self.cells:
            if self.same_images(methods[0], train, test):
                continue
            ours, theirs = (r.measured(methods[0], train, test, metric) for r in (self.second, self.first))
            scale = common_scale(metric, [r.metrics[metric.key] for side in (ours, theirs) for r in side.values()])
            if (tested := over_seeds(ours, theirs, metric, scale)) is not None:
                raw.append((methods, train, test, scale, tested))
        found: dict[tuple[str, Size, Size], Gap] = {}
        corrected = holm([tested.p for *_, tested in raw])
        for (methods, train, test, scale, tested), p in zip(raw, corrected, strict=True):
            separated = p <= ALPHA and tested.n >= SEEDS_FOR_A_CLAIM
            gap = Gap(tested.mean, tested.n, tested.low, tested.high, separated, "seeds", scale).times(metric.factor)
            found |= {(method, train, test): gap for method in methods}
        return found

    def table(self, metric: Quantity, train: Size) -> Table:
        """Methods x test resolutions: second against first, with its interval."""
        rows: list[Row] = []
        scales: set[Scale] = set()
        tests = self.resolutions[train]
        for method in self.methods:
            cells = []
            for test in tests:
                gap = self.gap(method, train, test, metric)
                states = [results.state(method, train, test) for results in (self.first, self.second)]
                if gap is not None:
                    scales.add(gap.scale)
                    cells.append(difference_cell(gap.shown, "ok", significant=gap.separated))
                elif self.same_images(method, train, test):
                    cells.append(SAME)
                else:
                    state = next((s for s in states if s in ("failed", "missing")), "no shared seed")
                    cells.append(Cell(state, state))
            rows.append(Row(method, cells, method))
        kind, sides = compared_by(scales, metric)
        first, second = self.names
        title = f"{metric.label}: {second} against {first} ({kind}), trained at {size_label(train)} px"
        note = (
            f"Mean {kind} over the shared seeds with its 95 % interval (Student's t, paired by seed; {sides})."
            f" Bold: more than noise, at 5 % after Holm's correction over all cells; {ASKED}."
        )
        return by_size(f"{metric.key}_{at(train)}_change", title, train, tests, rows, [note])

    def beside(self, metric: Quantity, train: Size) -> Table:
        """Values of both runs, one row for each run that has a method, methods of one run included."""
        tests, rows = self.resolutions[train], []
        for method in dict.fromkeys([*self.first.methods, *self.second.methods]):
            for results, name in zip((self.first, self.second), self.names, strict=True):
                if method in results.methods:
                    cells = [plain_cell(results, method, train, test, metric) for test in tests]
                    rows.append(Row(f"{method}, {name}", cells, method))
        title = f"{metric.heading} in both runs, trained at {size_label(train)} px"
        note = "Mean ± standard deviation over the seeds of each run."
        return by_size(f"{metric.key}_{at(train)}_both", title, train, tests, rows, [note])

    @cached_property
    def sentences(self) -> list[str]:
        """What moved by more than noise, in words."""
        metric = self.metrics[0]
        out = []
        for train in self.resolutions:
            cells = [(methods, test) for methods, of, test in self.cells if of == train]
            same = sum(self.same_images(methods[0], train, test) for methods, test in cells)
            gaps = [
                (methods, test, gap) for methods, test in cells if (gap := self.gap(methods[0], train, test, metric))
            ]
            where = f"Trained at {size_label(train)} px: "
            alike = f" In {same} more both runs hold the same images." if same else ""
            seeds = max((gap.n for *_, gap in gaps), default=0)
            if not gaps:
                out.append(f"{where}nothing to compare.{alike}")
                continue
            if seeds < SEEDS_FOR_A_CLAIM:
                out.append(
                    f"{where}{len(gaps)} cells are in both runs, which share {seeds} training seed{'s' * (seeds != 1)}."
                    f" {ASKED[0].upper()}{ASKED[1:]}; the table shows the differences.{alike}"
                )
                continue
            moved: dict[str, dict[str, list[str]]] = {"better": {}, "worse": {}, "different": {}}
            for methods, test, gap in gaps:
                if gap.separated:
                    lower = (gap.mean < 0) == (metric.better == "lower")
                    kind = "different" if metric.better is None else "better" if lower else "worse"
                    moved[kind].setdefault(" = ".join(methods), []).append(size_label(test))
            total = sum(gap.separated for *_, gap in gaps)
            text = f"{where}{metric.label} moved by more than noise in {total} of {len(gaps)} cells.{alike}"
            for kind, found in moved.items():
                if found:
                    sentence = "; ".join(f"{method} at {join(sizes)} px" for method, sizes in found.items())
                    text += f" {kind.capitalize()} in {self.names[1]}: {sentence}."
            out.append(text)
        if not self.resolutions or not self.methods:
            out.append("The two runs share no method at a common train and test resolution.")
        return out

    @cached_property
    def cautions(self) -> list[str]:
        """What makes the two runs hard to compare."""
        out = []
        for metric in self.metrics:
            versions = [_versions(results, metric) for results in (self.first, self.second)]
            if versions[0] != versions[1]:
                out.append(f"{metric.label} was computed by different versions ({versions[0]}, {versions[1]}).")
        first, second = self.first.image_counts, self.second.image_counts
        if first != second:
            out.append(f"Images per cell differ ({first}, {second}): distances depend on the count.")
        for one, other, name in ((self.first, self.second, self.names[0]), (self.second, self.first, self.names[1])):
            if alone := [method for method in one.methods if method not in other.methods]:
                out.append(f"Only in {name}: {', '.join(alone)}; shown beside the other run's below.")
        return out


def _versions(results: Results, metric: Quantity) -> str:
    found = {r.metric_versions.get(metric.key, "unknown") for r in results.find("measure", status="ok")}
    return ", ".join(sorted(found))
