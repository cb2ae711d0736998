"""How far a method is from numbers that its reference implementation produced.

A golden file is JSON: `source` with repository, commit and what was called, and `cases`, each the name of a rule, its
options, a grid, a train grid, t where it matters, and the values obtained. Figures only, no code of others. Cases
marked `turns_over` show what a reference does where the ends of its ramp change places; there we do not follow it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Context, Grid
from rpe2d_bench.encodings.spec import build
from rpe2d_bench.encodings.table import FREQUENCIES, LOGIT_SCALES


def golden(file: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The source and the cases of a golden file."""
    content = json.loads(file.read_text())
    return content["source"], content["cases"]


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """The largest |ours - theirs| / |theirs|; infinite where shapes differ or a number is not finite."""
    if ours.shape != theirs.shape or not bool(torch.isfinite(ours).all()):
        return float("inf")
    return float(((ours - theirs).abs() / theirs.abs().clamp_min(1e-30)).max())


def errors(folder: Path) -> Iterator[tuple[str, str, str, float]]:
    """(table, method, file, largest relative error) of every rule in the golden files of a folder."""
    for kind, table in (("frequencies", FREQUENCIES), ("logit_scale", LOGIT_SCALES)):
        for file in sorted(folder.glob(f"*_{kind}*.json")):
            cases = [case for case in golden(file)[1] if not case.get("turns_over")]
            for method in sorted({case["method"] for case in cases}):
                found = [case_error(table[method], case) for case in cases if case["method"] == method]
                yield kind, method, file.name, max(found)


def case_error(cls: Any, case: dict[str, Any]) -> float:
    """Relative error of one rule on one case."""
    t = torch.tensor([case["t"]], dtype=torch.float64) if "t" in case else None
    ctx = Context(grid=Grid(*case["grid"]), train_grid=Grid(*case["train_grid"]), t=t)
    rule = cls(**case["options"])
    ours = rule(ctx, case["axis"], case["F"]) if "axis" in case else torch.as_tensor(rule(ctx))
    return relative_error(ours.double().flatten(), torch.tensor(case["values"], dtype=torch.float64))


def encoding_errors(folder: Path) -> Iterator[tuple[str, float]]:
    """(encoding, largest absolute difference of cos, sin or value) of whole encodings in the golden files."""
    for file in sorted(folder.glob("*_encodings.json")):
        _, cases = golden(file)
        for case in cases:
            yield case["method"], encoding_error(case)


def encoding_error(case: dict[str, Any]) -> float:
    """Largest absolute difference on a case, after moving width-first channels behind the height's."""
    grid = Grid(*case["grid"])
    heads = case.get("heads", 1)
    width = case.get("width", case.get("head_width", 0) * heads)
    spec = {"kind": case["method"], "theta": case["theta"], "positions": {"kind": case.get("positions", "grid")}}
    encoding: Any = build(spec, width=width, heads=heads)
    if "directions" in case:  # mixed_rope starts from one random direction per head
        learned = encoding.frequencies_AHF
        learned.data = type(encoding).start(case["head_width"], case["theta"], torch.tensor(case["directions"]))
    realised = encoding(Context(grid=grid, train_grid=Grid(*case.get("train_grid", case["grid"]))))
    if realised.angles_BHNF is not None:
        ours = {"cos": realised.angles_BHNF[0].cos(), "sin": realised.angles_BHNF[0].sin()}
    else:
        ours = {"values": realised.additive_BND}
    return max(difference(value, case[key], case.get("width_first", False)) for key, value in ours.items())


def difference(ours: Tensor, theirs: list[float], width_first: bool) -> float:
    expected = torch.tensor(theirs, dtype=torch.float64).reshape(ours.shape)
    if width_first:
        expected = torch.cat(expected.chunk(2, dim=-1)[::-1], dim=-1)
    return float((ours.detach().double() - expected).abs().max())
