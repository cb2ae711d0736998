"""One colour, marker and dash per method, the same in every figure, table and page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rpe2d_bench.analysis.results import Results

# (on white, on near-black): hues that stay apart for colour-blind readers (after Okabe & Ito, "Color Universal
# Design", 2008), each darkened or lightened until it has at least 3:1 contrast on its own ground.
COLOURS = (
    ("#0072b2", "#4fb3f0"),
    ("#d55e00", "#ff8f3f"),
    ("#00805a", "#2fc296"),
    ("#b5478a", "#e58abf"),
    ("#856a00", "#d9b93b"),
    ("#2b8fa8", "#6fd3e8"),
    ("#6b3fa0", "#b794f0"),
    ("#a31f34", "#ff7a86"),
    ("#5c7a00", "#a8cf3a"),
    ("#555555", "#c0c0c0"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    index: int

    @property
    def colour(self) -> str:
        return COLOURS[self.index % len(COLOURS)][0]

    @property
    def dark_colour(self) -> str:
        return COLOURS[self.index % len(COLOURS)][1]

    @property
    def marker(self) -> str:
        return MARKERS[self.index % len(MARKERS)]

    def dash(self, model_index: int) -> object:
        """Methods that share a trained model share a dash."""
        return DASHES[model_index % len(DASHES)]


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """Styles in the order of the experiment file."""
    return {method: Style(index) for index, method in enumerate(dict.fromkeys(methods))}


def styles_of(results: Results) -> dict[str, Style]:
    """How each method of a run is drawn."""
    numbered = styles([*results.order, *results.methods])
    return {method: numbered[method] for method in results.methods}
