"""compare-encodings: the first number that differs, and nothing where none does."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from rpe2d_bench.cli import app
from rpe2d_bench.encodings import Grid
from rpe2d_bench.encodings.compare import compare

ROPE = {"kind": "axial_rope"}


def test_methods_that_coincide_are_equal() -> None:
    found = compare(ROPE, {**ROPE, "frequencies": {"kind": "yarn"}}, Grid(8, 8), Grid(16, 16))
    assert all(difference.equal for difference in found)
    assert [difference.part for difference in found] == ["angles", "logit_scale"]


def test_the_first_difference_and_the_largest() -> None:
    angles, scale = compare(ROPE, {**ROPE, "frequencies": {"kind": "interpolated"}}, Grid(16, 24), Grid(16, 16))
    assert scale.equal
    assert angles.first == (0, 0, 1, 16)  # the second column, where the width's channels begin
    assert angles.values == pytest.approx((1, 2 / 3))
    assert angles.largest == pytest.approx(23 / 3)


def test_what_only_one_has_is_named() -> None:
    found = {d.part: d for d in compare(ROPE, {"kind": "distance"}, Grid(4, 4), Grid(4, 4))}
    assert found["angles"].note == "only the first has it"
    assert found["addition"].note == "only the second has it"


def test_shared_angles_and_angles_per_head_are_compared() -> None:
    found = compare(ROPE, {"kind": "golden_gate"}, Grid(4, 4), Grid(4, 4))
    assert len(found[0].first) == 4


def test_the_command_takes_names_and_mappings() -> None:
    run = CliRunner().invoke(
        app, ["compare-encodings", "yarn", "{kind: axial_rope, theta: 100}", "--grid", "24x16", "--json"]
    )
    assert run.exit_code == 0, run.output
    parts = {part["part"]: part for part in json.loads(run.output)}
    assert not parts["angles"]["equal"]
    plain = CliRunner().invoke(app, ["compare-encodings", "ntk", "alibi", "--grid", "16x16"])
    assert "angles: equal" in plain.output
    assert "bias added to the logits 1: only the second has it" in plain.output
