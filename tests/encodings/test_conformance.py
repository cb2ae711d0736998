"""The conformance suite: everything of ours passes it, and each kind of defect is found by the demand made for it.

Long because of its defects: one small broken method per demand.
"""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from rpe2d_bench.encodings import AxialRoPE, Context, Encoding, PositionalEncoding
from rpe2d_bench.encodings.axial import Axial
from rpe2d_bench.encodings.conformance.suite import TABLES, check
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.random_positions import RandomPositions
from rpe2d_bench.errors import UserError

VARIANTS = [
    ("positions.random", {"max_grid": (64, 64), "draw": draw, "inference": layout})
    for draw in ("integer", "real", "stratified", "stride_jitter")
    for layout in ("even", "mean", "centred", "contiguous")
] + [
    ("positions.random", {"max_grid": (64, 64), "per": "batch"}),
    ("positions.random", {"max_grid": (64, 64), "tied": True}),
    ("positions.random_stride", {"max_grid": (64, 64), "per": "batch"}),
    ("positions.anchored", {"max_grid": (64, 64), "share": 0.9, "draw": "real"}),
    ("positions.fractional", {"span": "ends"}),
    ("positions.shift_scale_jitter", {"layout": "grid", "max_axis_scale": 2.0}),
    ("frequencies.interpolated", {"span": "ends"}),
    ("frequencies.ntk", {"theta": 100.0, "clamp": False}),
    ("frequencies.yarn", {"theta": 100.0, "clamp": False, "scale_from": "larger"}),
    ("frequencies.yarn_turns", {"theta": 100.0, "clamp": False}),
    ("frequencies.time_aware", {"clamp": False, "scale_from": "axis"}),
    ("frequencies.dype_yarn", {"theta": 100.0, "bounds": "code"}),
    ("frequencies.dype_yarn", {"theta": 100.0, "clamp": False}),
    ("frequencies.dominant", {"rounds": 3}),
    ("logit_scale.fit_code", {"of": "side"}),
    ("logit_scale.yarn", {"clamp": False}),
]


@pytest.mark.parametrize("target", [f"{kind}.{name}" for kind, table in TABLES.items() for name in table])
def test_everything_in_the_tables_conforms(target: str) -> None:
    findings = check(target)
    assert len(findings) >= 5
    assert [f for f in findings if not f.passed] == []


@pytest.mark.parametrize(("target", "options"), VARIANTS)
def test_options_conform_too(target: str, options: dict) -> None:
    assert [f for f in check(target, options) if not f.passed] == []


def failures(cls: type) -> str:
    return "; ".join(f"{f.demand}: {f.detail}" for f in check(cls) if not f.passed)


@dataclass(frozen=True)
class Rule:
    def base(self, ctx: Context, axis: int, F: int) -> Tensor:
        return Geometric()(ctx, axis, F)


class WidthFirst(Rule):
    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return self.base(ctx, axis, F) / max(ctx.scale_factor(1), 1)


class ChangesTrainGrid(Rule):
    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return self.base(ctx, axis, F) * 0.9


class LowestFirst(Rule):
    identity_at_train_grid: ClassVar[bool] = False

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return self.base(ctx, axis, F).flip(1)


class DividesByTime(Rule):
    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return self.base(ctx, axis, F) * (1 if ctx.grid == ctx.train_grid else 1 / ctx.t[:, None])


class FirstSamplesTime(Rule):
    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        s = 1 + (max(ctx.scale_factor(axis), 1) - 1) * float(ctx.t[0])
        return (self.base(ctx, axis, F) / s).expand(len(ctx.t), -1)


class GlobalNoise(Rule):
    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        torch.rand(1)
        return self.base(ctx, axis, F)


class Doubles(Rule):
    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return self.base(ctx, axis, F).double()


class AutocastMatmul(Rule):
    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return self.base(ctx, axis, F) @ torch.eye(F)


class OnTheCpu(Rule):
    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return Geometric()(Context(ctx.grid, ctx.train_grid), axis, F)


class HalfOnTheCpu(Rule):
    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return self.base(ctx, axis, F) * torch.ones(F)


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (OnTheCpu, "stays on the CPU"),
        (HalfOnTheCpu, "tensors on two devices meet"),
        (WidthFirst, "differ by more than the order of the axes"),
        (ChangesTrainGrid, "identity_at_train_grid = False"),
        (LowestFirst, "not ordered from high to low"),
        (DividesByTime, "not finite at t = 0"),
        (FirstSamplesTime, "second sample is not as alone"),
        (GlobalNoise, "global generator"),
        (Doubles, "torch.float64"),
        (AutocastMatmul, "autocast"),
    ],
)
def test_defects_of_frequencies_are_found(cls: type, found: str) -> None:
    assert found in failures(cls)


@dataclass(frozen=True)
class Decreasing:
    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        y, x = GridPositions()(ctx)
        return -y, -x


class SameForAll(RandomPositions):
    def drawn(self, grid, rows, rng):  # type: ignore[no-untyped-def]
        y, x = super().drawn(grid, 1, rng)
        return y.expand(rows, -1), x.expand(rows, -1)


class PastItsRange(RandomPositions):
    def layout(self, n, m, device):  # type: ignore[no-untyped-def]
        return super().layout(n, m, device) * 1.2


class Clustered(RandomPositions):
    """Prefers low positions, as taking the first n of sorted, squared uniforms would."""

    def drawn(self, grid, rows, rng):  # type: ignore[no-untyped-def]
        weights = torch.linspace(2, 1, self.max_grid[0]).expand(rows, -1)
        y, x = (torch.multinomial(weights, n, generator=rng).sort(dim=1).values for n in (grid.height, grid.width))
        return y, x


class Runs(RandomPositions):
    """Consecutive runs: every row equally often (but for the ends), no gap other than one."""

    def drawn(self, grid, rows, rng):  # type: ignore[no-untyped-def]
        m = self.max_grid[0]
        y, x = (
            (torch.randint(m - n + 1, (rows, 1), generator=rng) + torch.arange(n)) for n in (grid.height, grid.width)
        )
        return y, x


@dataclass
class CanChange:
    strength: float = 1.0

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return Geometric()(ctx, axis, F) * self.strength


class AnyModule(torch.nn.Module):
    def forward(self, ctx: Context) -> Encoding:
        return Encoding()


class Unfinished(PositionalEncoding):
    pass


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (CanChange, "it must be a frozen dataclass: @dataclass\\(frozen=True\\)"),
        (AnyModule, "a whole encoding extends PositionalEncoding"),
        (Unfinished, "it lacks forward"),
    ],
)
def test_what_no_table_could_take_has_its_sentence(cls: type, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check(cls)


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (Decreasing, "not strictly increasing"),
        (SameForAll, "every sample of the batch has the same positions"),
        (PastItsRange, "inference uses"),
        (Clustered, "positions occur unevenly"),
        (Runs, "chi-square"),
    ],
)
def test_defects_of_positions_are_found(cls: type, found: str) -> None:
    assert found in failures(cls)


class ColumnMajor(AxialRoPE):
    def forward(self, ctx: Context) -> Encoding:
        angles = super().forward(ctx).angles_BHNF
        h, w = ctx.grid.height, ctx.grid.width
        return Encoding(angles_BHNF=angles.unflatten(2, (h, w)).transpose(2, 3).flatten(2, 3))


class WidthChannelsFirst(AxialRoPE):
    def forward(self, ctx: Context) -> Encoding:
        halves = super().forward(ctx).angles_BHNF.chunk(2, dim=-1)
        return Encoding(angles_BHNF=torch.cat(halves[::-1], dim=-1))


class Absolute(AxialRoPE):
    def forward(self, ctx: Context) -> Encoding:
        return Encoding(angles_BHNF=super().forward(ctx).angles_BHNF.square() / 10)


class Buffered(AxialRoPE):
    def __init__(self, head_width: int) -> None:
        super().__init__(head_width)
        self.register_buffer("table", torch.zeros(3))


class OneTokenShort(AxialRoPE):
    def forward(self, ctx: Context) -> Encoding:
        return Encoding(angles_BHNF=super().forward(ctx).angles_BHNF[:, :, 1:])


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (ColumnMajor, "row-major"),
        (WidthChannelsFirst, "belongs to the height"),
        (Absolute, "logits change"),
        (Buffered, "state_dict holds ['table']"),
        (OneTokenShort, "angles_BHNF has shape"),
    ],
)
def test_defects_of_encodings_are_found(cls: type, found: str) -> None:
    assert issubclass(cls, PositionalEncoding)
    assert issubclass(cls, Axial)
    assert found in failures(cls)


def test_a_class_is_kept_apart_and_named_by_module_and_attribute() -> None:
    assert {f.kind for f in check("baselines.ntk:NTK")} == {"frequencies"}
    assert {f.kind for f in check("baselines.yarn:YaRNLogitScale")} == {"logit_scale"}
    assert {f.kind for f in check("rpe2d_bench.encodings.positions:GridPositions")} == {"positions"}
    assert {f.kind for f in check("yarn")} == {"frequencies", "logit_scale"}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:Thing", "cannot check 'no_such_module:Thing'"),
        ("baselines.ntk:NKT", "cannot check"),
        ("yran", r"unknown method 'yran' \(did you mean 'yarn'"),
        ("frequencies.yran", "unknown method"),
    ],
)
def test_what_cannot_be_checked_is_named(target: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(target)


def test_required_options_must_come_from_somewhere() -> None:
    class NeedsOptions(Rule):
        def __init__(self, amount: float) -> None: ...

    with pytest.raises(UserError, match="a class attribute `example`"):
        check(NeedsOptions)
