"""The answer of a report in one sentence on encodings, from the judgements of the analysis."""

from __future__ import annotations

from collections import Counter

from rpe2d_bench.analysis.judgement import Judgement, judge
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import SEEDS_FOR_A_CLAIM
from rpe2d_bench.analysis.vocabulary import Quantity
from rpe2d_bench.resolution import Size

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

NO_CLAIM = {"better": "leads", "worse": "trails"}  # what is said of trained models where nothing is of methods


def answer(results: Results, metric: Quantity, train: Size) -> str:
    """One sentence on encodings: above the train grid where sizes above were measured, else below it."""
    tests = [test for test in results.resolutions[train] if test != train]
    above = [test for test in tests if max(test[0] / train[0], test[1] / train[1]) > 1]
    where, tests = ("Above 1×", above) if above else ("Below 1×", tests)
    reference, seeds = results.reference, len(results.seeds)
    if reference is None:
        return "No reference method is named in the file (report: reference_method), so no method is called better."
    ranked = [test for test in tests if (train, test) not in results.refusals]
    if not ranked:
        return f"{where if tests else 'Away from 1×'} nothing may be concluded."
    if seeds < SEEDS_FOR_A_CLAIM:
        least = NUMBERS[SEEDS_FOR_A_CLAIM]
        return f"{where} nothing may be concluded: {_seeds(seeds)}, and a claim takes {least}; no method is named best."
    sizes = f"{len(ranked)} size{'s' if len(ranked) > 1 else ''}"
    controls = [method for method in results.methods if is_control(results, method)]
    encodings = [method for method in results.methods if method not in (reference, *controls)]
    undertrained = [method for method in encodings if results.is_undertrained(method, train)]
    encodings = [method for method in encodings if method not in undertrained]

    def counts(method: str, other: str) -> Counter[str]:
        return Counter(verdict(judge(results, method, other, train, test)) for test in ranked)

    against = {method: counts(method, reference) for method in encodings}
    most = max((found["better"] for found in against.values()), default=0)
    if most:
        best = [method for method, found in against.items() if found["better"] == most]
        subject = _ahead(results, metric, best, train, ranked)
        others = [method for method in best if method != subject]
        so_do = f" (so {'does' if len(others) == 1 else 'do'} {join(others)})" if others else ""
        parts = [f"{subject} scores better than {reference} at {most} of {sizes}{so_do}"]
        for word in ("mixed", "worse"):
            parts[0] += f", {word} at {against[subject][word]}" if against[subject][word] else ""
    else:
        subject, sound = reference, f" that reached {reference}'s quality at 1×" if undertrained else ""
        parts = [f"no encoding{sound} scores better than {'it' if sound else reference} at any of {sizes}"]
    them = "it" if most else reference
    for control in controls:
        found = counts(control, subject)
        words = [f"scores better than {them} at {found['better']}"] if found["better"] else []
        if found["worse"]:
            words.append(f"{'worse' if words else f'scores worse than {them}'} at {found['worse']}")
        if found["mixed"]:
            words.append(f"is better in some metrics and worse in others than {them} at {found['mixed']}")
        if words:
            words[-1] += f" of {sizes}"
        elif found["not separated"]:
            words.append(f"is not separated from {them}")
        if words:
            parts.append(f"{control_name(results, control)} {join(words)}")
    return f"{where} {'; '.join([*parts, _seeds(seeds)])}."


def is_control(results: Results, method: str) -> bool:
    """Whether it is no encoding at the train resolution: resizing, or a model trained at other resolutions."""
    spec = results.methods[method]
    model = results.experiment.models.get(spec.model)
    return bool(spec.upscale or (model and (model.resolution or model.mixed)))


def control_name(results: Results, method: str) -> str:
    return f"resizing ({method})" if results.methods[method].upscale else method


def _ahead(results: Results, metric: Quantity, methods: list[str], train: Size, tests: list[Size]) -> str:
    """Of methods that are better at as many sizes: the one with the best mean at most of them."""
    sign = 1.0 if metric.better == "lower" else -1.0
    first: Counter[str] = Counter()
    for test in tests:
        means = results.means(methods, train, test, metric)
        first[min(means, key=lambda m: sign * means[m])] += 1
    return max(methods, key=lambda method: first[method])


def _seeds(seeds: int) -> str:
    word = NUMBERS[seeds] if seeds < len(NUMBERS) else str(seeds)
    return f"{word} seed{'' if seeds == 1 else 's'}"


def verdict(found: Judgement | None) -> str:
    """'better', 'worse', 'mixed', 'level' or 'not separated'; 'leads' or 'trails' where better or worse is no claim.

    '' where there is nothing to say: not measured, the same stages, or no ranking is allowed.
    """
    if found is None:
        return ""
    word = found.overall
    return word if found.claim else NO_CLAIM.get(word, word)


def join(words: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
