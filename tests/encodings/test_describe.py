"""What `show` prints, against numbers known beforehand."""

from typing import Any

import pytest

from rpe2d_bench.encodings import EncodingSpec, Grid
from rpe2d_bench.encodings.describe import Realised, as_text, parse_grid, spec_of, with_option
from rpe2d_bench.encodings.describe import describe as describe_spec
from rpe2d_bench.errors import UserError


def describe(written: dict[str, Any], *grids: Grid, **options: Any) -> Realised:
    return describe_spec(EncodingSpec.parse(written), *grids, **options)


def test_yarn_on_a_small_grid_keeps_one_and_a_half_channels() -> None:
    """Head width 72, 16 tokens a side: the code's ramp keeps 1, 0.5, 0, ...; the paper's 0.05, 0.02, 0, ..."""
    by_code = describe(spec_of("yarn"), Grid(24, 24), Grid(16, 16), head_width=72)
    assert [c.kept for c in by_code.channels[:4]] == pytest.approx([1, 0.5, 0, 0], abs=1e-4)
    assert by_code.logit_scale == pytest.approx(1.0827, abs=1e-4)
    by_paper = describe(spec_of("yarn_turns"), Grid(24, 24), Grid(16, 16), head_width=72)
    assert [c.kept for c in by_paper.channels[:3]] == pytest.approx([0.0499, 0.0170, 0], abs=1e-3)
    assert by_paper.channels[0].turns == pytest.approx(16 / 6.2832 * (0.0499 + 0.9501 / 1.5), rel=1e-3)


def test_axes_are_described_apart_and_nothing_is_kept_or_lost_where_s_is_one() -> None:
    rows = describe(spec_of("ntk"), Grid(16, 24), Grid(16, 16), head_width=16).rows()
    assert [row["axis"] for row in rows] == ["height"] * 4 + ["width"] * 4
    assert all(row["kept"] is None and row["frequency"] == row["base"] for row in rows[:4])
    assert rows[7]["frequency"] == pytest.approx(rows[7]["base"] / 1.5, rel=1e-6)


def test_time_moves_dype() -> None:
    kept = [
        sum(c.kept or 0 for c in describe(spec_of("dype_yarn"), Grid(32, 32), Grid(16, 16), t=t).channels)
        for t in (0.05, 0.3, 1.0)
    ]
    assert kept[0] > kept[1] > kept[2]


def test_coverage_tells_a_run_from_an_even_layout() -> None:
    """A run's rows and gaps were seen in training, its offsets were not; an even layout's offsets were."""
    shares = {}
    for layout in ("contiguous", "mean"):
        spec = {"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [32, 32], "inference": layout}}
        found = describe(spec, Grid(16, 16), Grid(16, 16), head_width=16).coverage
        shares[layout] = {c.what: c.share for c in found if c.axis == "height"}
    assert shares["contiguous"]["rows"] == shares["contiguous"]["gaps"] == 1
    assert shares["contiguous"]["offsets"] < 0.8
    assert shares["mean"]["offsets"] == 1


def test_no_coverage_where_nothing_is_drawn_and_text_for_every_method() -> None:
    assert describe(spec_of("fractional"), Grid(4, 4), Grid(8, 8)).coverage == []
    for name in ("ntk", "random", "crop_true", "proportional_sqrt", "mixed_rope", "axial_sincos", "learned", "none"):
        text = as_text(describe(spec_of(name), Grid(8, 12), Grid(8, 8), head_width=16, heads=2))
        assert "grid 8x12, train grid 8x8" in text
        assert "logit scale" in text
    assert "-0.00" not in as_text(describe(spec_of("yarn"), Grid(24, 24), Grid(16, 16), head_width=72))


def test_unknown_methods_and_grids_are_named() -> None:
    with pytest.raises(UserError, match="did you mean 'riflex'"):
        spec_of("riflx")
    assert parse_grid("24x40") == Grid(24, 40)
    for text in ("24", "24x", "0x4", "axb", "1x2x3"):
        with pytest.raises(UserError, match="HEIGHTxWIDTH"):
            parse_grid(text)


def test_options_go_where_they_belong() -> None:
    spec = with_option(with_option(spec_of("yarn"), "theta", 100), "scale_from", "area")
    assert spec == {
        "kind": "axial_rope",
        "theta": 100,
        "frequencies": {"kind": "yarn", "scale_from": "area"},
        "logit_scale": {"kind": "yarn", "scale_from": "area"},
    }
    assert with_option(spec_of("random"), "max_grid", [24, 24])["positions"]["max_grid"] == [24, 24]
    assert with_option(spec_of("learned"), "grid", [4, 4]) == {"kind": "learned", "grid": [4, 4]}
    with pytest.raises(UserError, match="no option 'betas'"):
        describe(with_option(spec_of("yarn"), "betas", 1), Grid(4, 4), Grid(4, 4))


def test_equal_axes_are_written_once() -> None:
    square, wide = (as_text(describe(spec_of("ntk"), Grid(24, w), Grid(16, 16), head_width=16)) for w in (24, 32))
    assert square.count("both") == 4
    assert wide.count("both") == 0
