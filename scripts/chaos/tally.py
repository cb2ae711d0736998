"""What came of the trials, as tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

OUTCOMES = ("survived", "repeated", "refused", "differing")


@dataclass
class Tally:
    """Counts per kind of damage and per kind of file."""

    by_damage: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    by_file: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    remarks: list[str] = field(default_factory=list)  # of what differed

    def add(self, damage: str, file: str, outcome: str, remark: str = "") -> None:
        self.by_damage[damage][outcome] += 1
        self.by_file[file][outcome] += 1
        if outcome == "differing":
            self.remarks.append(f"{damage}, {file}: {remark}")

    @property
    def differing(self) -> int:
        return sum(counts["differing"] for counts in self.by_damage.values())

    @property
    def tried(self) -> int:
        return sum(counts.total() for counts in self.by_damage.values())

    def markdown(self) -> str:
        """Two tables, and what differed."""
        text = [_table("damage", self.by_damage), _table("file", self.by_file)]
        text += [f"- {remark}" for remark in self.remarks]
        return "\n\n".join(text) + "\n"


def _table(title: str, counts: dict[str, Counter[str]]) -> str:
    lines = [f"| {title} | tried | {' | '.join(OUTCOMES)} |", "| --- |" + " ---: |" * (len(OUTCOMES) + 1)]
    for name, found in counts.items():
        lines.append(f"| {name} | {found.total()} | {' | '.join(str(found[outcome]) for outcome in OUTCOMES)} |")
    return "\n".join(lines)
