"""Where two encodings differ first, in numbers: for whoever ports a rule from one stack to another.

Shape suffixes: B batch, H heads, N tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.encodings.identity import numbers
from rpe2d_bench.encodings.interface import Context, Grid
from rpe2d_bench.encodings.spec import build

WORDS = {  # parts as people read them; of a bias, a number behind it counts the corner tokens that look at all others
    "averaged": "angles of a further rotation, averaged",
    "y": "rows that the bias sees",
    "x": "columns that the bias sees",
    "layers": "layers with a bias",
    "addition": "bias added to the logits",
    "factor": "factor of the bias on the logits",
}


@dataclass(frozen=True)
class Difference:
    """One part of an encoding in both: equal, or where they differ first and by how much at most.

    first: index of the first number that differs, as the part's shape counts it; shapes where these differ.
    """

    part: str  # additive, angles, logit_scale, averaged, y, x, layers, addition, factor
    equal: bool
    first: tuple[int, ...] = ()
    values: tuple[float, float] = (0.0, 0.0)  # there, in the first and in the second
    largest: float = 0.0
    note: str = ""


def compare(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    grid: Grid,
    train_grid: Grid,
    t: float = 0.5,
    head_width: int = 64,
    heads: int = 6,
) -> list[Difference]:
    """Every part of what two specs realise at a grid, a train grid and a time, in the order they are applied.

    Numbers are equal when their float32 bits are. Learned parts start from the same seed.
    """
    sides = []
    for spec in (first, second):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            encoding = build(spec, width=head_width * heads, heads=heads)
            realised = encoding(Context(grid=grid, train_grid=train_grid, t=torch.tensor([t])))
            sides.append(named(numbers(realised)))
    one, two = sides
    return [part_of(name, one.get(name), two.get(name)) for name in dict.fromkeys((*one, *two))]


def named(parts: list[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """By name; those that occur several times are numbered."""
    found: dict[str, Tensor] = {}
    for name, value in parts:
        same = sum(key.split()[0] == name for key in found)
        found[f"{name} {same}" if same else name] = value.float()
    return found


def part_of(name: str, one: Tensor | None, two: Tensor | None) -> Difference:
    if one is None or two is None:
        return Difference(name, False, note=f"only the {'second' if one is None else 'first'} has it")
    if one.ndim == two.ndim and all(1 in pair or pair[0] == pair[1] for pair in zip(one.shape, two.shape, strict=True)):
        one, two = torch.broadcast_tensors(one, two)  # shared by heads or images in one of them
    if one.shape != two.shape:
        return Difference(name, False, note=f"shapes {tuple(one.shape)} and {tuple(two.shape)}")
    differs = (one != two) & ~(one.isnan() & two.isnan())
    if not bool(differs.any()):
        return Difference(name, True)
    at = tuple(differs.nonzero()[0].tolist())
    apart = (one - two).abs().nan_to_num(0.0, float("inf"))
    return Difference(name, False, at, (float(one[at]), float(two[at])), float(apart.max()))


def as_text(differences: list[Difference]) -> str:
    """A line per part."""
    lines = []
    for d in differences:
        kind, space, number = d.part.partition(" ")
        part = f"{WORDS.get(kind, kind)}{space}{number}"
        if d.equal:
            lines.append(f"{part}: equal")
        elif d.note:
            lines.append(f"{part}: {d.note}")
        else:
            a, b = d.values
            lines.append(
                f"{part}: first differs at {list(d.first)}, {a:.7g} against {b:.7g}; by {d.largest:.3g} at the most"
            )
    return "\n".join(lines)
