"""Every method by name: this package's own tables and those of every module under the entry point group.

A module named under the group `rpe2d_bench.methods` holds up to five literal dicts, name -> class: POSITIONS,
FREQUENCIES, LOGIT_SCALES, LOGIT_BIASES and ENCODINGS. They are read when a name is first looked up, so importing this
costs nothing, and this package names no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from rpe2d_bench.encodings.axial import AxialRoPE, AxialSinCos
from rpe2d_bench.encodings.bias import NoBias
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.learned import LearnedTable
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.none import NoEncoding
from rpe2d_bench.encodings.positions import CentredPositions, GridPositions
from rpe2d_bench.encodings.random_positions import RandomPositions
from rpe2d_bench.errors import UserError, unknown

GROUP = "rpe2d_bench.methods"

OWN: dict[str, dict[str, Callable[..., Any]]] = {
    "POSITIONS": {"grid": GridPositions, "centred": CentredPositions, "random": RandomPositions},
    "FREQUENCIES": {"geometric": Geometric},
    "LOGIT_SCALES": {"constant": Constant},
    "LOGIT_BIASES": {"none": NoBias},
    "ENCODINGS": {
        "axial_rope": AxialRoPE,
        "axial_sincos": AxialSinCos,
        "learned": LearnedTable,
        "none": NoEncoding,
    },
}


def merge(sources: Mapping[str, Mapping[str, Callable[..., Any]]], kind: str) -> dict[str, Callable[..., Any]]:
    """One table from several, source name -> table; UserError where two sources claim one name."""
    merged: dict[str, Callable[..., Any]] = {}
    owner: dict[str, str] = {}
    for source, table in sources.items():
        for name, cls in table.items():
            if name in merged:
                raise UserError(f"{kind} {name!r} is defined by both {owner[name]} and {source}; rename it in {source}")
            merged[name], owner[name] = cls, source
    return merged


class Table(Mapping[str, Callable[..., Any]]):
    """A read-only mapping name -> class, filled on first use; unknown names raise a UserError with a suggestion."""

    def __init__(self, attribute: str, kind: str) -> None:
        self.attribute, self.kind = attribute, kind
        self._entries: dict[str, Callable[..., Any]] | None = None

    @property
    def entries(self) -> dict[str, Callable[..., Any]]:
        if self._entries is None:
            sources: dict[str, Mapping[str, Callable[..., Any]]] = {"rpe2d_bench": OWN[self.attribute]}
            for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
                try:
                    module = point.load()
                except Exception as e:
                    raise UserError(f"entry point {point.name!r} of {GROUP}: cannot import {point.value!r}: {e}") from e
                sources[point.value] = getattr(module, self.attribute, {})
            self._entries = merge(sources, self.kind)
        return self._entries

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self.entries:
            raise unknown(self.kind, str(name), self.entries)
        return self.entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


POSITIONS = Table("POSITIONS", "positions")
FREQUENCIES = Table("FREQUENCIES", "frequencies")
LOGIT_SCALES = Table("LOGIT_SCALES", "logit_scale")
LOGIT_BIASES = Table("LOGIT_BIASES", "bias")
ENCODINGS = Table("ENCODINGS", "encoding")
