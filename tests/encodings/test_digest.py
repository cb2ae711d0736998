"""One digest for what coincides, another for what does not."""

import pytest
import torch

from rpe2d_bench.encodings import Grid, build, realised_digest

TRAIN, TS = Grid(8, 8), [1.0, 0.5, 0.0]


def digest(spec: dict, grid: Grid, ts: list[float] = TS) -> str:
    return realised_digest(build({"theta": 100, **spec}, width=48, heads=3), grid, TRAIN, ts)


def rope(frequencies: str, logit_scale: str = "constant") -> dict:
    return {"kind": "axial_rope", "frequencies": {"kind": frequencies}, "logit_scale": {"kind": logit_scale}}


@pytest.mark.parametrize(
    "frequencies", ["interpolated", "ntk", "yarn", "dype_yarn", "riflex", "time_aware", "dominant"]
)
def test_methods_coincide_at_the_train_grid_and_below_and_differ_above(frequencies: str) -> None:
    for grid in (TRAIN, Grid(4, 6)):
        assert digest(rope(frequencies, "yarn"), grid) == digest(rope("geometric"), grid)
    assert digest(rope(frequencies), Grid(16, 16)) != digest(rope("geometric"), Grid(16, 16))


def test_logit_scale_time_and_positions_count() -> None:
    grid = Grid(16, 16)
    assert digest(rope("ntk"), grid) != digest(rope("ntk", "yarn"), grid)
    assert digest(rope("dype_ntk"), grid, [0.5]) != digest(rope("dype_ntk"), grid, [0.9])
    assert digest(rope("ntk"), grid, [0.5]) == digest(rope("ntk"), grid, [0.9])
    even, mean = (
        {**rope("geometric"), "positions": {"kind": "random", "max_grid": [16, 16], "inference": layout}}
        for layout in ("even", "mean")
    )
    assert digest(even, TRAIN) != digest(mean, TRAIN)
    assert digest(even, grid) == digest(mean, grid)  # a full range leaves one layout


def test_learned_values_count() -> None:
    torch.manual_seed(0)
    encoding = build({"kind": "learned", "grid": [8, 8]}, width=48, heads=3)
    before = realised_digest(encoding, TRAIN, TRAIN, TS)
    assert realised_digest(encoding, TRAIN, TRAIN, TS) == before
    with torch.no_grad():
        encoding.table_BDYX[0, 0, 0, 0] += 1e-3
    assert realised_digest(encoding, TRAIN, TRAIN, TS) != before
