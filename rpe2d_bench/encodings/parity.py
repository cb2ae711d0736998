"""How far a method is from numbers that its reference implementation produced.

A golden file is JSON: `source` with repository, commit and what was called, and `cases`, each the name of a rule, its
options, a grid, a train grid, t where it matters, and the values obtained. Figures only, no code of others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Context, Grid
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
            _, cases = golden(file)
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
