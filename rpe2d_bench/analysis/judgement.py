"""What a method is judged by: a stated set of metrics, never one number.

Better means separated and better in at least one and worse in none; both ways is mixed, however good the main metric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from rpe2d_bench.analysis.vocabulary import Quantity
from rpe2d_bench.resolution import Size

if TYPE_CHECKING:
    from rpe2d_bench.analysis.results import Results

# Before any sampling, as a whole, by sample (precision) and by real image (recall), structure and detail.
SET = ("denoising_error", "kid", "precision", "recall", "kid_global", "kid_local")
Word = Literal["better", "worse", "level", "not separated"]
Overall = Literal["better", "worse", "mixed", "level", "not separated"]


@dataclass(frozen=True)
class Judgement:
    """One method against another at one size, by every metric of the set that both have."""

    words: tuple[tuple[Quantity, Word], ...]
    claim: bool  # of trainings in general, in each of them: statistics.Gap.claim

    @property
    def overall(self) -> Overall:
        found = {word for _, word in self.words}
        if {"better", "worse"} <= found:
            return "mixed"
        for word in ("better", "worse", "not separated"):
            if word in found:
                return word
        return "level" if found else "not separated"

    @property
    def sentence(self) -> str:
        """'better in KID, Recall; worse in Precision; not separated in Global KID'."""
        by_word = {word: [m.short for m, found in self.words if found == word] for word in get_args(Word)}
        return "; ".join(f"{word} in {', '.join(labels)}" for word, labels in by_word.items() if labels)


def judged_by(results: Results) -> list[Quantity]:
    """The metrics of the set that were measured, and the main one; none of samples that say nothing."""
    found = [m for name in SET for m in results.metrics if m.name == name and m.better is not None]
    if results.worse_than_noise:
        found = [m for m in found if not m.has_floor]
    main = results.main_metric
    return found if main is None or main in found or main.better is None else [main, *found]


def judge(results: Results, method: str, other: str, train: Size, test: Size) -> Judgement | None:
    """method against other; None where they coincide, nothing was tested or no ranking is allowed."""
    if (train, test) in results.refusals:
        return None
    words: list[tuple[Quantity, Word]] = []
    claim = True
    for metric in judged_by(results):
        gap = results.difference(method, other, train, test, metric)
        if gap is None or gap.low is None:  # one seed tests nothing
            continue
        claim = claim and gap.claim
        if gap.separated:
            words.append((metric, "better" if (gap.mean < 0) == (metric.better == "lower") else "worse"))
        else:
            words.append((metric, "level" if gap.level else "not separated"))
    return Judgement(tuple(words), claim) if words else None
