"""Does the order of methods survive another seed, another guidance, another model size?

Methods that differ in `sampler.guidance` alone are one method at several guidances; models that differ in
`model.preset` alone are one model at several sizes. At each test resolution every setting (guidance, size, seed) ranks
the methods; Kendall's tau-b (1945; scipy.stats.kendalltau) says how alike two rankings are: 1 the same, 0 unrelated,
-1 reversed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import Quantity, size_label
from rpe2d_bench.config.experiment import Experiment, MethodEntry
from rpe2d_bench.report.content import Block, Content, Text
from rpe2d_bench.report.sentence import join
from rpe2d_bench.report.table import Table, number, plain
from rpe2d_bench.report.tables import at
from rpe2d_bench.resolution import Size

Values = dict[str, float]  # method -> value, or rank
NOTE = (
    "Rank 1 is best; equal values share a rank. Ranks of methods that no comparison separates may change by chance:"
    " read this beside the intervals."
)


@dataclass(frozen=True)
class Setting:
    """What a method is run at besides its encoding."""

    guidance: float
    preset: str


@dataclass(frozen=True)
class Stability:
    """The tables of one train resolution, and a sentence about them."""

    train: Size
    words: str
    agreement: Table
    ranks: Table
    settings: Table


def build(results: Results, store: Path) -> Content:
    """Empty where nothing was varied."""
    blocks: list[Block] = []
    for entry in stability(results):
        trained = f"Trained at {size_label(entry.train)} px: " if len(results.resolutions) > 1 else ""
        blocks += [Text(trained + entry.words), entry.agreement, entry.ranks]
        blocks.append(Content(entry.settings.title, (entry.settings,)))
    return Content("Ranking stability", tuple(blocks))


def stability(results: Results) -> list[Stability]:
    """One entry per train resolution; none where nothing was varied or fewer than two methods are left."""
    metric, families = results.main_metric, families_of(results)
    if metric is None or metric.better is None or len(families) < 2:
        return []
    found = [_of(results, metric, families, train) for train in results.resolutions]
    return [entry for entry in found if entry is not None]


def families_of(results: Results) -> dict[str, dict[Setting, str]]:
    """Method -> setting -> the name that it has in the experiment at that setting; the method keeps its first name."""
    families: dict[str, dict[Setting, str]] = {}
    names: dict[str, list[str]] = {}  # what does not vary -> families
    for method, spec in results.methods.items():
        setting, rest = _parted(results.experiment, spec)
        alike = names.setdefault(rest, [])
        family = next((name for name in alike if setting not in families[name]), None)
        if family is None:
            family = method
            alike.append(method)
        families.setdefault(family, {})[setting] = method
    return families


def _parted(experiment: Experiment, method: MethodEntry) -> tuple[Setting, str]:
    """The setting of a method, and everything else about it as text."""
    sampler = experiment.evaluate.sampler.model_dump(mode="json") | method.sampler
    entry = experiment.models.get(method.model)
    model = entry.model_dump(mode="json", exclude={"model"}) if entry else {"named": method.model}
    size = experiment.model.model_dump(mode="json") | (entry.model if entry else {})
    setting = Setting(float(sampler.pop("guidance")), str(size.pop("preset")))
    rest = method.model_dump(mode="json", exclude={"model", "sampler"})
    return setting, json.dumps([rest, sampler, model, size], sort_keys=True)


def ranks(values: Values, better: str) -> Values:
    """1 for the best; equal values share the better rank; values that are not finite have none."""
    sign = 1.0 if better == "lower" else -1.0
    finite = {name: sign * value for name, value in values.items() if math.isfinite(value)}
    return {name: 1.0 + sum(other < value for other in finite.values()) for name, value in finite.items()}


def tau(one: Values, other: Values) -> float | None:
    """Kendall's tau-b over the methods that both rank; None for fewer than two, or where all are equal."""
    from scipy.stats import kendalltau

    shared = [name for name in one if name in other]
    if len(shared) < 2:
        return None
    value = float(kendalltau([one[name] for name in shared], [other[name] for name in shared]).statistic)
    return value if math.isfinite(value) else None


def _of(results: Results, metric: Quantity, families: dict[str, dict[Setting, str]], train: Size) -> Stability | None:
    settings = list(dict.fromkeys(setting for family in families.values() for setting in family))
    base = settings[0] if _main(results) not in settings else _main(results)
    tests = results.resolutions[train]
    rows: dict[str, list[tuple[str, ...]]] = {"agreement": [], "ranks": [], "settings": []}
    reached: dict[str, dict[Size, list[int]]] = {name: {} for name in families}
    varied, kept, pairs = set(), 0, 0
    for test in tests:
        axes = _rankings(results, metric, families, train, test, base)
        cells = []
        for axis, rankings in axes.items():
            found = [t for (_, a), (_, b) in combinations(rankings.items(), 2) if (t := tau(a, b)) is not None]
            cells.append(f"{number(fmean(found), 2)} (lowest {number(min(found), 2)})" if found else "–")
            varied |= {axis} if found else set()
        rows["agreement"].append((f"{size_label(test)} px", *cells))
        every = {label: ranking for rankings in axes.values() for label, ranking in rankings.items()}
        for label, ranking in every.items():
            rows["settings"].append((f"{size_label(test)} px", label, *(_rank(ranking, name) for name in families)))
            for name, rank in ranking.items():
                reached[name].setdefault(test, []).append(int(rank))
        same, all_pairs = _kept(every, list(families))
        kept, pairs = kept + same, pairs + all_pairs
    if not varied:
        return None
    for name, by_test in reached.items():
        rows["ranks"].append((name, *(_range(by_test.get(test, [])) for test in tests)))
    heads = ("test resolution", *AXES)
    words = (
        f"{kept} of {pairs} pairs of methods (over {len(tests)} test resolutions) keep their order by {metric.label} at"
        f" every {join_axes(varied)} that was run. Guidance and size are varied around guidance {base.guidance:g}"
        f"{f' and {base.preset}' if base.preset else ''}, with the mean over seeds."
    )
    at_sizes = ("method", *(f"{size_label(test)} px" for test in tests))
    agreement = plain(f"stability_tau_{at(train)}", "Kendall's tau between rankings: mean over pairs, and the lowest",
                      heads, rows["agreement"], numbers=True)  # fmt: skip
    reached_ranks = plain(f"stability_ranks_{at(train)}", "Ranks that a method reached, best to worst", at_sizes,
                          rows["ranks"], numbers=True, note=NOTE, methods=families)  # fmt: skip
    every_setting = plain(f"stability_settings_{at(train)}", "Rank at every setting",
                          ("test resolution", "setting", *families), rows["settings"], numbers=True)  # fmt: skip
    return Stability(train, words, agreement, reached_ranks, every_setting)


AXES = ("over seeds", "over guidance", "over model sizes")


def join_axes(varied: set[str]) -> str:
    """'seed and guidance'."""
    return join([word for axis, word in zip(AXES, ("seed", "guidance", "model size"), strict=True) if axis in varied])


def _main(results: Results) -> Setting:
    return Setting(results.experiment.evaluate.sampler.guidance, results.experiment.model.preset)


def _rankings(
    results: Results,
    metric: Quantity,
    families: dict[str, dict[Setting, str]],
    train: Size,
    test: Size,
    base: Setting,
) -> dict[str, dict[str, Values]]:
    """Axis -> setting in words -> rank of each method; seeds at the base setting, the others as means over seeds."""

    def seeds_of(setting: Setting) -> dict[str, dict[int, float]]:
        known = {name: family[setting] for name, family in families.items() if setting in family}
        return {name: results.by_seed(method, train, test, metric) for name, method in known.items()}

    def mean_at(setting: Setting) -> Values:
        values = {name: fmean(by_seed.values()) for name, by_seed in seeds_of(setting).items() if by_seed}
        return ranks(values, str(metric.better))

    every = {setting: None for family in families.values() for setting in family}
    guidances = sorted({s.guidance for s in every if s.preset == base.preset})
    sizes = list(dict.fromkeys(s.preset for s in every if s.guidance == base.guidance))
    at_base = seeds_of(base)
    by_seed = {
        f"seed {seed}": ranks({n: v[seed] for n, v in at_base.items() if seed in v}, str(metric.better))
        for seed in results.seeds
    }
    found = (
        by_seed,
        {f"guidance {g:g}": mean_at(Setting(g, base.preset)) for g in guidances} if len(guidances) > 1 else {},
        {size: mean_at(Setting(base.guidance, size)) for size in sizes} if len(sizes) > 1 else {},
    )
    return dict(zip(AXES, found, strict=True))


def _kept(rankings: Mapping[str, Values], names: list[str]) -> tuple[int, int]:
    """Pairs of methods whose order no ranking contradicts, of those that at least two rankings order."""
    kept = total = 0
    for one, other in combinations(names, 2):
        signs = [r[one] - r[other] for r in rankings.values() if one in r and other in r]
        total += len(signs) > 1
        kept += len(signs) > 1 and not (min(signs) < 0 < max(signs))
    return kept, total


def _rank(ranking: Values, name: str) -> str:
    return f"{ranking[name]:g}" if name in ranking else "–"


def _range(reached: list[int]) -> str:
    if not reached:
        return "–"
    low, high = min(reached), max(reached)
    return str(low) if low == high else f"{low} to {high}"
