"""Agreement with numbers that reference implementations produced; relative error below 1e-5."""

from pathlib import Path
from typing import Any

import pytest
import torch

from rpe2d_bench.encodings import FREQUENCIES, LOGIT_BIASES, Context, Grid, build
from rpe2d_bench.encodings.conformance import parity

GOLDEN = Path(__file__).parents[1] / "golden"
LIMIT = 1e-5


@pytest.mark.parametrize("row", list(parity.errors(GOLDEN)), ids=lambda row: f"{row[1]}-{row[2]}")
def test_rules_agree_with_their_references(row: tuple[str, str, str, float]) -> None:
    assert row[3] < LIMIT


def test_encodings_agree_with_their_references() -> None:
    found = list(parity.encoding_errors(GOLDEN))
    assert {name for name, _ in found} == {"axial_rope", "axial_sincos", "mixed_rope", "golden_gate", "spiral"}
    assert max(error for _, error in found) < LIMIT


@pytest.mark.parametrize(
    ("errors", "names"),
    [(parity.bias_errors, {"alibi", "lookhere", "relative_table"}), (parity.position_errors, {"bundled"})],
)
def test_biases_and_positions_agree_with_their_references(errors: Any, names: set[str]) -> None:
    found = list(errors(GOLDEN))
    assert {name for name, _ in found} == names
    assert max(error for _, error in found) < LIMIT


def test_positions_and_channels_of_dinov3_are_ours_in_another_unit() -> None:
    """DINOv3 measures in half sides, in turns: 4 pi / n times tokens of a train grid of n, per axis."""
    for case in parity.golden(GOLDEN / "dinov3_axes.json")[1]:
        grid, width = Grid(*case["grid"]), case["head_width"]
        spec = {"kind": "axial_rope", "theta": case["theta"], "positions": {"kind": case["method"]}}
        angles_NF = build(spec, width=width, heads=1)(Context(grid, grid)).angles_BHNF[0, 0].double()
        unit_F = torch.tensor(
            [4 * torch.pi / side for side in case["grid"] for _ in range(width // 4)], dtype=torch.float64
        )
        turned_NF = angles_NF * unit_F
        for values, key in ((turned_NF.cos(), "cos"), (turned_NF.sin(), "sin")):
            assert values.flatten().tolist() == pytest.approx(case[key], abs=LIMIT)


def test_a_wrong_bias_is_noticed() -> None:
    case = next(c for c in parity.golden(GOLDEN / "lookhere_biases.json")[1] if c["options"]["view"] == 90)
    assert parity.bias_error(case) < LIMIT
    shown = next(i for i, value in enumerate(case["values"]) if value)
    moved = [*case["values"]]
    moved[shown] *= 1.02
    assert parity.bias_error({**case, "values": moved}) > LIMIT
    moved[shown] = None
    assert parity.bias_error({**case, "values": moved}) == float("inf")


def test_buckets_are_those_of_t5() -> None:
    for case in parity.golden(GOLDEN / "t5_buckets.json")[1]:
        pair = LOGIT_BIASES["relative_buckets"](**case["options"]).build(1)
        places = torch.arange(float(case["tokens"]))
        assert pair.bucket(places[:, None] - places[None, :]).flatten().tolist() == case["values"]


def test_partial_rotation_is_that_of_transformers() -> None:
    """Both meanings of partial_rotary_factor; angles of the second row are the frequencies of the height's channels."""
    for case in parity.golden(GOLDEN / "transformers_partial.json")[1]:
        encoding = build({"kind": "partial_rope", **case["options"]}, width=4 * case["F"], heads=1)
        ours = encoding(Context(Grid(2, 1), Grid(2, 1))).angles_BHNF[0, 0, 1, : case["F"]].tolist()
        theirs = case["values"] + [0.0] * (case["F"] - len(case["values"]))
        assert ours == pytest.approx(theirs, rel=LIMIT)


def test_goldens_name_their_source_and_span_widths_grids_and_aspect_ratios() -> None:
    covered = {}
    for file in GOLDEN.glob("*.json"):
        source, cases = parity.golden(file)
        assert source["repository"]
        assert source["commit"]
        assert source["called"]
        for case in cases:
            covered.setdefault(case["method"], []).append(case)
    references = {"geometric", "interpolated", "ntk", "ntk_by_parts", "yarn", "ntk_lumina", "time_aware"}
    for method in references | {"dype_ntk", "dype_yarn", "dype_yarn_2025"}:
        cases = [case for case in covered[method] if "F" in case]
        assert len({case["F"] for case in cases}) >= 3
        assert len({tuple(case["train_grid"]) for case in cases}) >= 3
        assert any(case["grid"][0] != case["grid"][1] for case in cases)


def test_a_wrong_number_is_noticed() -> None:
    _, cases = parity.golden(GOLDEN / "fit_frequencies.json")
    case = next(c for c in cases if c["method"] == "yarn")
    assert parity.case_error(FREQUENCIES["yarn"], case) < LIMIT
    case["values"][1] *= 1.001
    assert parity.case_error(FREQUENCIES["yarn"], case) > LIMIT
    assert parity.relative_error(torch.ones(2), torch.ones(3)) == float("inf")
    assert parity.relative_error(torch.tensor([float("nan")]), torch.ones(1)) == float("inf")


def test_dype_with_held_bounds_leaves_the_code_only_where_its_bounds_cross() -> None:
    """theta 100 and 64 tokens: below t = 0.0598 the code interpolates again, held bounds keep the base."""
    ctx = {t: Context(Grid(96, 96), Grid(64, 64), t=torch.tensor([t])) for t in (0.065, 0.05)}
    held, code = (FREQUENCIES["dype_yarn"](theta=100.0, bounds=bounds) for bounds in ("held", "code"))
    base = FREQUENCIES["geometric"](theta=100.0)(ctx[0.05], 0, 8)
    assert torch.equal(held(ctx[0.05], 0, 8), base)
    torch.testing.assert_close(code(ctx[0.05], 0, 8), base / 1.5)
    torch.testing.assert_close(code(ctx[0.065], 0, 8), held(ctx[0.065], 0, 8))
