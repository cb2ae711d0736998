"""How far a method is from numbers that its reference implementation produced.

A golden file is JSON: `source` with repository, commit and what was called, and `cases`, each the name of a rule, its
options, a grid, a train grid, t where it matters, and the values obtained. Figures only, no code of others. Cases
marked `turns_over` show what a reference does where the ends of its ramp change places; there we do not follow it.
In the values of biases null is a hidden pair.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.encodings.axial import bundles
from rpe2d_bench.encodings.bias import placed
from rpe2d_bench.encodings.interface import Context, Grid
from rpe2d_bench.encodings.spec import build
from rpe2d_bench.encodings.table import FREQUENCIES, LOGIT_BIASES, LOGIT_SCALES, POSITIONS


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
    """Largest absolute difference on a case, after moving width-first channels behind the height's.

    Cases with an `origin` hold angles against those of that token, for some tokens.
    """
    grid = Grid(*case["grid"])
    heads = case.get("heads", 1)
    width = case.get("width", case.get("head_width", 0) * heads)
    spec = {"kind": case["method"], **case.get("options", {})}
    if "options" not in case:
        spec |= {"theta": case["theta"], "positions": {"kind": case.get("positions", "grid")}}
    encoding: Any = build(spec, width=width, heads=heads)
    if "directions" in case:  # mixed_rope starts from one random direction per head
        learned = encoding.frequencies_AHF
        learned.data = type(encoding).start(case["head_width"], case["theta"], torch.tensor(case["directions"]))
    realised = encoding(Context(grid=grid, train_grid=Grid(*case.get("train_grid", case["grid"]))))
    if realised.angles_BHNF is not None:
        angles_HNF = realised.angles_BHNF[0]
        if "origin" in case:
            angles_HNF = (angles_HNF - angles_HNF[:, [case["origin"]]])[:, case["tokens"]]
        ours = {"cos": angles_HNF.cos(), "sin": angles_HNF.sin()}
    else:
        ours = {"values": realised.additive_BND}
    return max(difference(value, case[key], case.get("width_first", False)) for key, value in ours.items())


def bias_errors(folder: Path) -> Iterator[tuple[str, float]]:
    """(bias, largest absolute difference) of the biases in the golden files, hidden pairs included."""
    for file in sorted(folder.glob("*_biases.json")):
        for case in golden(file)[1]:
            yield case["method"], bias_error(case)


def bias_error(case: dict[str, Any]) -> float:
    """Largest absolute difference on a case; infinite where one side hides a pair that the other shows.

    Where the reference rounds (`rounded`), as far as the difference exceeds half a step of that type.
    """
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in case["options"].items()}
    pair = LOGIT_BIASES[case["method"]](**options).build(case["heads"])
    for parameter, values in zip(pair.parameters(), case.get("learned", ()), strict=True):
        parameter.data = torch.tensor(values).reshape(parameter.shape)
    places = [torch.arange(float(side))[None] for side in case["grid"]]
    bias = placed(pair, places[0], places[1], case["heads"])
    assert bias is not None
    with torch.no_grad():
        ours = case.get("weight", 1.0) * bias.dense()[0].double().flatten()
    hidden = -torch.inf
    theirs = torch.tensor([hidden if value is None else value for value in case["values"]], dtype=torch.float64)
    if ours.shape != theirs.shape or not torch.equal(ours == hidden, theirs == hidden):
        return float("inf")
    seen = theirs != hidden
    apart = (ours - theirs)[seen].abs()
    if "rounded" in case:
        apart = (apart - theirs[seen].abs() * torch.finfo(getattr(torch, case["rounded"])).eps / 2).clamp_min(0)
    return float(apart.max())


def position_errors(folder: Path) -> Iterator[tuple[str, float]]:
    """(positions, largest absolute difference) over every layout of the rules in the golden files."""
    for file in sorted(folder.glob("*_positions.json")):
        for case in golden(file)[1]:
            rule = POSITIONS[case["method"]](**case["options"])
            found = bundles(rule, Context(Grid(*case["grid"]), Grid(*case["train_grid"])))
            if len(found) != len(case["values"]):
                yield case["method"], float("inf")
                continue
            pairs = zip(found, case["values"], strict=True)
            axes = [(p_BN[0], torch.tensor(t)) for ours, theirs in pairs for p_BN, t in zip(ours, theirs, strict=True)]
            yield case["method"], max(float((ours - theirs).abs().max()) for ours, theirs in axes)


def difference(ours: Tensor, theirs: list[float], width_first: bool) -> float:
    expected = torch.tensor(theirs, dtype=torch.float64).reshape(ours.shape)
    if width_first:
        expected = torch.cat(expected.chunk(2, dim=-1)[::-1], dim=-1)
    return float((ours.detach().double() - expected).abs().max())
