"""The answer in words: which method wins where, with what certainty, at what cost, and what limits it."""

from __future__ import annotations

from dataclasses import dataclass

from rpe2d_bench.analysis.judgement import judge, judged_by
from rpe2d_bench.analysis.quality import findings
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import BASES, SEEDS_FOR_A_CLAIM
from rpe2d_bench.analysis.vocabulary import Metric, scale_label, size_label
from rpe2d_bench.report.tables import number
from rpe2d_bench.storage.records import Resolution

VERDICTS = ("significant", "a lead", "level", "not separated")  # of a difference: analysis.statistics.Gap.words
AGAINST = {  # verdict -> of a worse method, of a better one
    "significant": ("significantly worse", "significantly better"),
    "a lead": ("trails", "leads"),
    "level": ("level", "level"),
    "not separated": ("not separated", "not separated"),
}


@dataclass(frozen=True)
class Sentence:
    kind: str  # "answer", "detail" or "caution"
    text: str


def answer(results: Results) -> list[Sentence]:
    """Sentences in the order in which a reader needs them."""
    metric = results.main_metric
    if metric is None:
        trained = len(results.find("train", status="ok"))
        return [Sentence("caution", f"Nothing has been measured yet; {trained} models are trained.")]
    out = [Sentence("caution", f"No winner is named: {why}.") for why in dict.fromkeys(results.refusals.values())]
    for train in results.resolutions:
        out += _winners(results, metric, train)
        out += _against_reference(results, metric, train)
        out += _judged(results, train)
    out += _cost(results)
    return out + _cautions(results)


def join(words: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _elsewhere(results: Results, train: Resolution) -> list[Resolution]:
    return [test for test in results.resolutions[train] if test != train]


def runner_up(results: Results, metric: Metric, train: Resolution, test: Resolution) -> tuple[str, str] | None:
    """The best method that does not coincide with the winner, and the verdict on their difference."""
    best = results.best(train, test, metric)
    rest = {m: e.mean for m in results.methods if m not in best and (e := results.estimate(m, train, test, metric))}
    if not best or not rest:
        return None
    second = (min if metric.better == "lower" else max)(rest, key=lambda name: rest[name])
    gap = results.difference(second, best[0], train, test, metric)
    return second, gap.words if gap else "not separated"


def _winners(results: Results, metric: Metric, train: Resolution) -> list[Sentence]:
    tests = _elsewhere(results, train)
    won: dict[str, list[tuple[Resolution, tuple[str, str] | None]]] = {}
    for test in tests:
        best = results.best(train, test, metric)
        if best:
            won.setdefault(" = ".join(best), []).append((test, runner_up(results, metric, train, test)))
    out: list[Sentence] = []
    for winner, alone in list(won.items()):
        if unrivalled := [size_label(test) for test, second in alone if second is None]:
            names = join(winner.split(" = "))
            verb = "coincide and are all" if " = " in winner else "is all"
            sentence = f"At {join(unrivalled)} px {names} {verb} that has been measured; there is nothing to compare."
            out.append(Sentence("detail", sentence))
        won[winner] = [(test, second) for test, second in alone if second is not None]
    for winner, sizes in sorted(won.items(), key=lambda item: -len(item[1])):
        if not sizes:
            continue
        first = winner.split(" = ")[0]
        scores = [
            f"{size_label(test)} px ({scale_label(test, train)}: {number(found.mean)})"
            for test, _ in sizes
            if (found := results.estimate(first, train, test, metric))
        ]
        extreme = "lowest" if metric.better == "lower" else "highest"
        has = "(which coincide) have" if " = " in winner else "has"
        marked = " (undertrained: see below)" if results.is_undertrained(first, train) else ""
        text = f"{join(winner.split(' = '))}{marked} {has} the {extreme} {metric.label} at {join(scores)}"
        if len(results.seeds) < 2 and not results.comparisons:
            text += "; with one seed nobody can say whether that is luck"
        else:
            verdicts: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
            for test, second in sizes:
                if second:
                    verdicts[second[1]].append(f"{size_label(test)} px ({second[0]})")
            sentence = join([f"{verdict} at {join(where)}" for verdict, where in verdicts.items() if where])
            text += f"; the difference from the next best is {sentence}"
        out.append(Sentence("answer", f"Trained at {size_label(train)} px: {text}."))
    return out


def _against_reference(results: Results, metric: Metric, train: Resolution) -> list[Sentence]:
    reference = results.reference
    if reference is None or (len(results.seeds) < 2 and not results.comparisons):
        return []
    out = []
    for method in results.methods:
        if method == reference:
            continue
        groups: dict[str, list[str]] = {}
        for test in _elsewhere(results, train):
            if (train, test) in results.refusals:
                continue
            gap = results.difference(method, reference, train, test, metric)
            if gap is None:
                continue
            lower = (gap.mean < 0) == (metric.better == "lower")
            groups.setdefault(AGAINST[gap.words][lower], []).append(size_label(test))
        words = dict.fromkeys(word for pair in AGAINST.values() for word in reversed(pair))
        sentence = [f"{word} at {join(groups[word])} px" for word in words if word in groups]
        if sentence:
            mark = " (undertrained)" if results.is_undertrained(method, train) else ""
            out.append(Sentence("detail", f"{method}{mark} against {reference}: {'; '.join(sentence)}."))
    return out


def _judged(results: Results, train: Resolution) -> list[Sentence]:
    """Every method against the reference and against resizing, by all of the stated set where that is more than one."""
    if len(judged_by(results)) < 2 or len(results.seeds) < 2:
        return []
    out = []
    for other in filter(None, (results.reference, results.resizing)):
        for method in results.methods:
            found = {test: judge(results, method, other, train, test) for test in _elsewhere(results, train)}
            words = [
                f"at {size_label(test)} px {j.overall} ({j.sentence})" for test, j in found.items() if j is not None
            ]
            if method != other and words:
                out.append(Sentence("detail", f"By all metrics, {method} against {other}: {'; '.join(words)}."))
    return out


def _cost(results: Results) -> list[Sentence]:
    seconds: dict[str, float] = {}
    for model in results.models:
        found = [r.timings["train"] for r in results.find("train", model=model, status="ok") if "train" in r.timings]
        if found:
            seconds[model] = sum(found) / len(found)
    if not seconds:
        return []
    sentence = [f"{model} {duration(value)}" for model, value in seconds.items()]
    return [Sentence("detail", f"Training one model took {join(sentence)} (mean over seeds, on this run's machine).")]


def _cautions(results: Results) -> list[Sentence]:
    found = findings(results)
    out = [Sentence("caution", f"{f.what}: undertrained, {f.why}.") for f in found if f.kind == "undertrained"]
    out += [Sentence("caution", f"{f.what}: {f.why}.") for f in found if f.kind == "weights"]
    if len(results.seeds) == 1:
        out.insert(0, Sentence("caution", "A first look: one training seed, from which no conclusion can be drawn."))
    for kind, words in (("failed", "failed"), ("diverged", "gave numbers that are not finite")):
        if count := sum(f.kind == kind for f in found):
            noun = "results" if count > 1 else "result"
            out.append(Sentence("caution", f"{count} {noun} {words}; see quality control."))
    absent = sum(results.state(m, train, t) in ("missing", "partial") for train, tests in results.resolutions.items()
                 for m in results.methods for t in tests)  # fmt: skip
    if absent:
        out.append(
            Sentence(
                "caution",
                f"{absent} {'cells are' if absent > 1 else 'cell is'} missing or short of seeds: a partial report.",
            )
        )
    metric = results.main_metric
    if metric and (len(results.seeds) > 1 or results.comparisons):
        basis = results.basis(metric)
        text = (
            f"'Separated' means 5 % after Holm's correction over each method against {results.reference or 'the rest'}"
        )
        text += f"{f' and against {results.resizing}' if results.resizing else ''}, per size ({BASES[basis]})."
        text += f" It is called significant with {SEEDS_FOR_A_CLAIM} or more training seeds, and a lead with less, or"
        out.append(Sentence("caution", text + " for other pairs. 'Level' means shown to be within a factor of 1.25."))
    return out


def duration(seconds: float) -> str:
    """'45 s', '12.5 min' or '3.2 h'."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"
