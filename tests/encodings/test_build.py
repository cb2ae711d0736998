"""Building from a mapping: what is accepted, what is refused and in which words, and how a method replaces parts."""

import pytest
import torch

from rpe2d_bench.encodings import Context, Grid, build, replaced, validate
from rpe2d_bench.errors import UserError

FULL = {
    "kind": "axial_rope",
    "theta": 100,
    "positions": {"kind": "random", "max_grid": [16, 16], "draw": "integer", "per": "sample", "inference": "mean"},
    "frequencies": {"kind": "ntk"},
    "logit_scale": {"kind": "yarn"},
}


def test_a_full_mapping_builds_what_it_says() -> None:
    validate(FULL)
    encoding = build(FULL, width=96, heads=3)
    assert encoding.positions.max_grid == (16, 16)
    assert encoding.frequencies.theta == 100
    assert encoding(Context(Grid(8, 8), Grid(8, 8))).angles_BHNF.shape == (1, 1, 64, 16)


@pytest.mark.parametrize("kind", ["axial_rope", "mixed_rope", "axial_sincos", "none"])
def test_every_kind_builds_without_options(kind: str) -> None:
    build({"kind": kind}, width=48, heads=3)(Context(Grid(3, 5), Grid(4, 4)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "axial_rop"}, r"unknown encoding 'axial_rop' \(did you mean 'axial_rope'\?\)"),
        ({"kind": "axial_rope", "thet": 1}, r"'axial_rope' has no option 'thet' \(did you mean 'theta'\?\)"),
        ({"kind": "axial_rope", "head_width": 8}, "has no option 'head_width'"),
        ({"kind": "axial_rope", "frequencies": {"kind": "yran"}}, r"encoding.frequencies: .*did you mean 'yarn'"),
        (
            {"kind": "axial_rope", "frequencies": {"kind": "yarn", "beta_fst": 1}},
            r"no option 'beta_fst' \(did you mean",
        ),
        ({"kind": "axial_rope", "frequencies": "yarn"}, "encoding.frequencies is a mapping with a kind"),
        ({"kind": "axial_rope", "positions": {"kind": "random"}}, "encoding.positions.max_grid is missing"),
        ({"kind": "axial_rope", "positions": {"kind": "random", "max_grid": 16}}, "positions.max_grid: .*got 16"),
        ({"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [8, 8], "draw": "int"}}, "got 'int'"),
        ({"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [0, 8]}}, "greater than or equal to 1"),
        ({"kind": "axial_rope", "theta": "wide"}, "encoding.theta: .*got 'wide'"),
        ({"kind": "axial_rope", "theta": 3, "frequencies": {"kind": "ntk", "theta": 2}}, "write theta once"),
        ({"kind": "mixed_rope", "frequencies": {"kind": "ntk"}}, "'mixed_rope' has no option 'frequencies'"),
        ({"kind": "none", "theta": 2}, "'none' has no option 'theta'"),
        ({"kind": "learned"}, "needs the option 'grid'"),
        ("axial_rope", "is a mapping with a kind"),
        ({"theta": 100}, "is a mapping with a kind"),
    ],
)
def test_mistakes_are_named(spec: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(spec)  # type: ignore[arg-type]


def test_messages_say_where() -> None:
    with pytest.raises(UserError, match=r"models\.rope\.encoding\.frequencies"):
        validate({"kind": "axial_rope", "frequencies": {"kind": "nkt"}}, where="models.rope.encoding")


def test_numbers_written_as_text_are_coerced() -> None:
    """PyYAML reads 1e4 as text."""
    assert build({"kind": "axial_rope", "theta": "1e4"}, width=32, heads=1).frequencies.theta == 10_000.0


def test_a_replaced_frequency_rule_keeps_the_trained_base() -> None:
    written_above = {"kind": "axial_rope", "theta": 100, "logit_scale": {"kind": "yarn"}}
    written_inside = {"kind": "axial_rope", "frequencies": {"kind": "geometric", "theta": 100}}
    for trained in (written_above, written_inside):
        spec = replaced(trained, {"frequencies": {"kind": "ntk"}})
        assert build(spec, width=32, heads=1).frequencies.theta == 100
    assert replaced(written_above, {"frequencies": {"kind": "ntk"}})["logit_scale"] == {"kind": "yarn"}
    assert replaced(written_inside, {"frequencies": {"kind": "ntk", "theta": 50}})["frequencies"]["theta"] == 50
    assert torch.equal(
        build(replaced(written_above, {}), width=32, heads=1)(Context(Grid(2, 2), Grid(2, 2))).angles_BHNF,
        build(written_above, width=32, heads=1)(Context(Grid(2, 2), Grid(2, 2))).angles_BHNF,
    )
