"""One digest for what coincides, another for what does not."""

import hashlib
from collections.abc import Callable

import pytest
import torch

from rpe2d_bench.encodings import Context, Encoding, Grid, build, realised_digest
from rpe2d_bench.encodings.axial import AxialRoPE
from rpe2d_bench.encodings.identity import numbers

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


class Counted(AxialRoPE):
    """Counts its evaluations."""

    def forward(self, ctx: Context) -> Encoding:
        self.evaluations = getattr(self, "evaluations", 0) + 1
        return super().forward(ctx)


class Timed:
    """A rule that looks at the time in some way, and would rather not say so."""

    def __init__(self, look: Callable[[torch.Tensor], object]) -> None:
        self.look = look

    def __call__(self, ctx: Context) -> float:
        try:
            self.look(ctx.t)
        except Exception:
            return 1.0
        return 1.0 + float(ctx.t[0])


def test_what_never_looks_at_the_time_is_evaluated_once_with_the_digest_of_every_time() -> None:
    encoding = Counted(16)
    found = realised_digest(encoding, TRAIN, TRAIN, TS)
    assert encoding.evaluations == 1
    expected = hashlib.sha256()
    for t in TS:
        for name, value in numbers(encoding(Context(grid=TRAIN, train_grid=TRAIN, t=torch.tensor([t])))):
            expected.update(f"{name}{tuple(value.shape)}".encode() + (value + 0.0).numpy().tobytes())
    assert found == expected.hexdigest()


LOOKS = [float, torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.numpy, lambda t: t + 1, lambda t: t > 0.5,
         lambda t: t[0], bool, torch.sin]  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
def test_no_way_of_looking_at_the_time_goes_unnoticed(look: Callable[[torch.Tensor], object]) -> None:
    encoding = Counted(16, logit_scale=Timed(look))
    assert realised_digest(encoding, TRAIN, TRAIN, [0.25]) != realised_digest(encoding, TRAIN, TRAIN, [0.75])


def test_learned_values_count() -> None:
    torch.manual_seed(0)
    encoding = build({"kind": "learned", "grid": [8, 8]}, width=48, heads=3)
    before = realised_digest(encoding, TRAIN, TRAIN, TS)
    assert realised_digest(encoding, TRAIN, TRAIN, TS) == before
    with torch.no_grad():
        encoding.table_BDYX[0, 0, 0, 0] += 1e-3
    assert realised_digest(encoding, TRAIN, TRAIN, TS) != before
