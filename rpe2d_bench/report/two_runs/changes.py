"""Two runs side by side: what was changed, and which numbers moved by more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rpe2d_bench.analysis.results import Results, as_resolution
from rpe2d_bench.analysis.statistics import Estimate, Gap, estimate
from rpe2d_bench.analysis.vocabulary import Metric, size_label
from rpe2d_bench.errors import UserError
from rpe2d_bench.report.sentence import join
from rpe2d_bench.report.table import Cell, Row, Table, difference_cell
from rpe2d_bench.report.tables import at, by_size
from rpe2d_bench.report.two_runs.settings import Change, changed
from rpe2d_bench.storage.records import Resolution

RESTS = {
    "seeds": "Student's t, paired by seed",
    "samples": "paired bootstrap over the images, Holm's correction over all cells that both runs have; covers the"
    " images that were drawn from these trained models, not other trainings",
    "seeds and samples": "paired bootstrap over seeds and images, Holm's correction over all cells that both runs have",
}


@dataclass(frozen=True)
class Changes:
    """Run `second` against run `first`, on what both measured."""

    first: Results
    second: Results
    # Paired comparisons by images where they could be made: separation.separate_runs.
    compared: tuple[dict[str, Any], ...] = ()

    @cached_property
    def _gaps(self) -> dict[tuple[str, str, Resolution, Resolution], Gap]:
        found = {}
        for entry in self.compared:
            where = (as_resolution(entry["train_resolution"]), as_resolution(entry["test_resolution"]))
            basis = "samples" if entry["covers"] == "samples only" else "seeds and samples"
            found[entry["metric"], entry["method"], *where] = Gap(
                entry["difference"], entry["seeds"], entry["low"], entry["high"], entry["p_adjusted"] <= 0.05, basis
            )
        return found

    def basis(self, metric: Metric) -> str:
        """What 'more than noise' rests on for a metric."""
        kinds = {gap.basis for (key, *_), gap in self._gaps.items() if key == metric.key}
        return kinds.pop() if len(kinds) == 1 else "seeds"

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
    def metrics(self) -> list[Metric]:
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
    def resolutions(self) -> dict[Resolution, list[Resolution]]:
        both = {}
        for train, tests in self.first.resolutions.items():
            others = self.second.resolutions.get(train, [])
            if shared := [test for test in tests if test in others]:
                both[train] = shared
        return both

    def gap(self, method: str, train: Resolution, test: Resolution, metric: Metric) -> tuple[Estimate | None, bool]:
        """second - first over the seeds both have, and whether that is more than noise."""
        if known := self._gaps.get((metric.key, method, train, test)):
            seen = known.times(metric.factor)
            return Estimate(seen.mean, seen.n, None, seen.low, seen.high), seen.separated
        found = estimate(self.by_seed(method, train, test, metric))
        return found, bool(found and found.excludes_zero and not (found.mean == 0 and not found.spread))

    def by_seed(self, method: str, train: Resolution, test: Resolution, metric: Metric) -> list[float]:
        """second - first of every seed that both have."""
        ours = self.second.by_seed(method, train, test, metric)
        theirs = self.first.by_seed(method, train, test, metric)
        return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]

    def table(self, metric: Metric, train: Resolution) -> Table:
        """Methods x test resolutions: second minus first, with its interval."""
        rows = []
        tests = self.resolutions[train]
        for method in self.methods:
            cells = []
            for test in tests:
                found, moved = self.gap(method, train, test, metric)
                states = [results.state(method, train, test) for results in (self.first, self.second)]
                state = next((s for s in states if s in ("failed", "missing")), "missing")
                cells.append(difference_cell(found, "ok", significant=moved) if found else Cell(state, state))
            rows.append(Row(method, cells, method))
        better = {"lower": "below zero: the second is better", "higher": "above zero: the second is better"}
        first, second = self.names
        title = f"{metric.heading}: {second} minus {first}, trained at {size_label(train)} px"
        note = (
            f"Mean difference over the shared seeds with its 95 % interval ({RESTS[self.basis(metric)]});"
            f" {better.get(metric.better or '', 'no direction known')}. Bold: more than noise."
            + (" One shared seed gives no interval and no claim." if self.basis(metric) == "seeds" else "")
        )
        return by_size(f"{metric.key}_{at(train)}_change", title, train, tests, rows, [note])

    @cached_property
    def sentences(self) -> list[str]:
        """What moved by more than noise, in words."""
        metric = self.metrics[0]
        out = []
        for train, tests in self.resolutions.items():
            moved: dict[str, dict[str, list[str]]] = {"better": {}, "worse": {}, "different": {}}
            compared = unclear = 0
            for method in self.methods:
                for test in tests:
                    found, more = self.gap(method, train, test, metric)
                    if found is None:
                        continue
                    compared += 1
                    unclear += found.low is None
                    if more:
                        lower = (found.mean < 0) == (metric.better == "lower")
                        kind = "different" if metric.better is None else "better" if lower else "worse"
                        moved[kind].setdefault(method, []).append(size_label(test))
            where = f"Trained at {size_label(train)} px: "
            if unclear == compared and compared:
                out.append(
                    f"{where}{compared} cells are in both runs, but they share at most one seed, so nobody can say what"
                    " is more than noise."
                )
                continue
            total = sum(len(sizes) for methods in moved.values() for sizes in methods.values())
            text = f"{where}{metric.label} moved by more than noise in {total} of {compared} cells."
            for kind, methods in moved.items():
                if methods:
                    sentence = "; ".join(f"{method} at {join(sizes)} px" for method, sizes in methods.items())
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
        counts = [
            sorted({r.num_samples for r in x.find("measure") if r.num_samples}) for x in (self.first, self.second)
        ]
        if counts[0] != counts[1]:
            out.append(f"Images per cell differ ({counts[0]}, {counts[1]}): distances depend on the count.")
        shared = len(set(self.first.seeds) & set(self.second.seeds))
        basis = self.basis(self.metrics[0])
        if basis != "seeds":
            out.append(f"More than noise means: {RESTS[basis]}.")
        elif shared == 2:
            out.append("Two shared seeds: the interval is 13 standard errors wide, so only very large changes count as"
                       " more than noise. Three or more seeds say much more.")  # fmt: skip
        for one, other, name in ((self.first, self.second, self.names[0]), (self.second, self.first, self.names[1])):
            if alone := [method for method in one.methods if method not in other.methods]:
                out.append(f"Only in {name}: {', '.join(alone)}.")
        return out


def _versions(results: Results, metric: Metric) -> str:
    found = {r.metric_versions.get(metric.key, "unknown") for r in results.find("measure", status="ok")}
    return ", ".join(sorted(found))
