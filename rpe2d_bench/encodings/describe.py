"""What a method really does at a grid: the numbers behind `rpe2d-bench show` and the notes of `plan`.

On small grids names mislead: YaRN is nearly interpolation there, and a random range may never have shown a run.
Shape suffixes: B batch, N tokens of one axis, F rotated channel pairs of one axis.

Over 250 lines, since what is realised, how it is measured and how it reads belong together.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from rpe2d_bench.encodings.axial import Axial
from rpe2d_bench.encodings.bias import Bias
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.interface import Context, Grid, PositionalEncoding, Positions
from rpe2d_bench.encodings.spec import EncodingSpec
from rpe2d_bench.encodings.table import ENCODINGS, FREQUENCIES, LOGIT_BIASES, LOGIT_SCALES, POSITIONS
from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.resolution import MOST_TOKENS

RULE_TABLES = {
    "positions": POSITIONS,
    "frequencies": FREQUENCIES,
    "logit_scale": LOGIT_SCALES,
    "bias": LOGIT_BIASES,
}
DRAWS = 2048
PLAIN = ("geometric", "interpolated")  # rules that are extrapolation or interpolation by definition
SAME = 1e-4  # share of the way from interpolated to base that nobody could tell
QUANTILES = (0.001, 0.999)  # what training shows less often counts as not seen


@dataclass(frozen=True)
class Channel:
    """One rotated pair of one axis. kept: 1 = base frequency, 0 = interpolated by s; None where s = 1."""

    axis: str
    index: int
    base: float
    frequency: float
    kept: float | None
    period: float  # tokens for a full turn
    turns: float  # full turns over the train grid


@dataclass(frozen=True)
class Coverage:
    """What inference uses, what training shows, and the share of the first inside the second."""

    axis: str
    what: str  # rows: positions; gaps: between neighbours; offsets: between tokens k apart, for the same k
    used: tuple[float, float]
    seen: tuple[float, float]
    share: float


@dataclass(frozen=True)
class Realised:
    """The numbers of a method at a grid, a train grid and a time. coverage is empty where nothing is drawn.

    costs: what a bias adds to the logit of the first token and another, in the first block.
    """

    grid: Grid
    train_grid: Grid
    t: float
    logit_scale: float
    positions: dict[str, list[float]]
    channels: list[Channel]
    coverage: list[Coverage]
    costs: dict[str, list[float | None]] = dataclasses.field(default_factory=dict)  # per head; None: hidden
    notes: list[str] = dataclasses.field(default_factory=list)  # where a rule is not what its name says

    def rows(self) -> list[dict[str, Any]]:
        """The channels as flat rows, for tables and figures."""
        return [dataclasses.asdict(channel) for channel in self.channels]


def spec_of(method: str) -> dict[str, Any]:
    """A spec that shows a method by name: a rule in an axial RoPE (with the logit scale of its name), or an encoding.

    Rules and encodings that need options get those of their class attribute `example`.
    """
    spec: dict[str, Any] = {"kind": "axial_rope"}
    if method in ENCODINGS:
        return {"kind": method} | getattr(ENCODINGS[method], "example", {})
    found = False
    for part, table in RULE_TABLES.items():
        if method in table:
            spec[part] = {"kind": method} | getattr(table[method], "example", {})
            found = True
    if not found:
        raise unknown("method", method, {*ENCODINGS, *(name for table in RULE_TABLES.values() for name in table)})
    return spec


def with_option(spec: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The spec with an option set where it belongs: in every rule that has it, else in the encoding itself.

    The rotary base always goes to the encoding. Raises UserError, when built, for an option nothing has.
    """
    changed = {key: dict(part) if isinstance(part, dict) else part for key, part in spec.items()}
    owners = [
        part
        for part, table in RULE_TABLES.items()
        if part in changed and name in {f.name for f in dataclasses.fields(table[changed[part]["kind"]])}  # type: ignore[arg-type]
    ]
    if name == "theta" and changed["kind"] in ("axial_rope", "axial_sincos", "mixed_rope"):
        owners = []
    for part in owners:
        changed[part][name] = value
    if not owners:
        changed[name] = value
    return changed


def describe(
    spec: EncodingSpec, grid: Grid, train_grid: Grid, t: float = 0.5, head_width: int = 64, heads: int = 6
) -> Realised:
    """The realised numbers of an encoding for a model of that head width."""
    encoding = spec.build(width=head_width * heads, heads=heads)
    ctx = Context(grid=grid, train_grid=train_grid, t=torch.tensor([t]))
    with torch.no_grad():
        now = encoding(ctx)
        scale = torch.as_tensor(now.logit_scale).reshape(-1)[0]
        paid = {} if now.bias is None else costs(now.bias, grid)
    positions = getattr(encoding, "positions", None)
    placed: dict[str, list[float]] = {}
    if positions is not None:
        placed = {axis: p_BN[0].tolist() for axis, p_BN in zip(("height", "width"), positions(ctx), strict=True)}
    realised = Realised(
        grid=grid,
        train_grid=train_grid,
        t=t,
        logit_scale=float(scale),
        positions=placed,
        channels=list(channels(encoding, ctx)),
        coverage=[] if positions is None else list(coverage(positions, ctx)),
        costs=paid,
    )
    return dataclasses.replace(realised, notes=plainer(_frequencies(spec), realised))


def costs(bias: Bias, grid: Grid) -> dict[str, list[float | None]]:
    """What the first token pays for its neighbours and for the last token, by head."""
    keys = {"the next column": 1, "the next row": grid.width, "the last token": grid.tokens - 1}
    heads_H, found = torch.arange(bias.heads), {}
    for name, key in keys.items():
        if 0 < key < grid.tokens:
            dy, dx = (p_BN[0, 0] - p_BN[0, key] for p_BN in (bias.y_BN, bias.x_BN))
            paid_H = bias.pair.layers[0] * bias.pair.addition(dy, dx, heads_H)
            found[name] = [None if math.isinf(value) else value for value in paid_H.tolist()]
    return found


def plainer(rule: str, realised: Realised) -> list[str]:
    """One sentence for each enlarged axis on which a rule's frequencies are those of a plainer one."""
    if rule in PLAIN:
        return []
    axes: dict[str, list[str]] = {}
    for axis, side, trained in (
        ("height", realised.grid.height, realised.train_grid.height),
        ("width", realised.grid.width, realised.train_grid.width),
    ):
        found = [channel for channel in realised.channels if channel.axis == axis]
        kept = [channel.kept for channel in found if channel.kept is not None]
        if side <= trained or not kept:
            continue
        none, all_ = max(map(abs, kept)) < SAME, max(abs(1 - share) for share in kept) < SAME
        if none or all_:
            turns = max(channel.base for channel in found) * trained / (2 * math.pi)
            says = f"{rule} equals {'interpolation' if none else 'extrapolation'} here"
            axes.setdefault(f"{says}: the fastest channel turns {turns:.2g} times over the train grid", []).append(axis)
    return [text if len(where) == 2 else f"{text} ({where[0]})" for text, where in axes.items()]


def _frequencies(spec: EncodingSpec) -> str:
    """The name of the frequency rule."""
    return str((spec.written.get("frequencies") or {"kind": "geometric"})["kind"])


def degenerate(spec: EncodingSpec, grid: Grid, train_grid: Grid, head_width: int) -> list[str]:
    """`plainer` of a spec, halfway through sampling; nothing for encodings without channels of their own."""
    encoding = spec.build(width=head_width, heads=1)
    ctx = Context(grid=grid, train_grid=train_grid, t=torch.tensor([0.5]))
    return plainer(_frequencies(spec), Realised(grid, train_grid, 0.5, 1.0, {}, list(channels(encoding, ctx)), []))


def channels(encoding: PositionalEncoding, ctx: Context) -> Iterator[Channel]:
    """Every channel of an axial encoding that turns, next to its base; nothing for other encodings."""
    if not isinstance(encoding, Axial):
        return
    reference = encoding.reference(ctx)
    F = encoding.spectrum_width
    base_F = Geometric(theta=float(getattr(encoding.frequencies, "theta", 10_000.0)))(reference, 0, F)[0]
    for axis, name in enumerate(("height", "width")):
        s = reference.scale_factor(axis)
        for i, value in enumerate(encoding.frequencies(reference, axis, F)[0, : encoding.turning].tolist()):
            base = float(base_F[i])
            kept = None if s == 1 else round((value - base / s) / (base - base / s), 6) + 0.0
            yield Channel(
                axis=name,
                index=i,
                base=base,
                frequency=value,
                kept=kept,
                period=2 * math.pi / value,
                turns=ctx.train_grid.axis(axis) * value / (2 * math.pi),
            )


def coverage(positions: Positions, ctx: Context) -> Iterator[Coverage]:
    """Rows, gaps and offsets that inference uses, against what training on the train grid shows."""
    draws = [
        positions(dataclasses.replace(ctx, grid=ctx.train_grid, rng=Generator().manual_seed(seed), t=None, batch=64))
        for seed in range(DRAWS // 64)
    ]
    for axis, name in enumerate(("height", "width")):
        seen_BN = torch.cat([draw[axis] for draw in draws])
        if len(seen_BN.unique(dim=0)) == 1:
            continue  # nothing is drawn
        used_N = positions(ctx)[axis][0]
        yield covered(name, "rows", [(used_N, seen_BN.flatten())])
        n = min(len(used_N), seen_BN.shape[1])
        apart = [(used_N[k:] - used_N[:-k], (seen_BN[:, k:] - seen_BN[:, :-k]).flatten()) for k in range(1, n)]
        if apart:
            yield covered(name, "gaps", apart[:1])
            yield covered(name, "offsets", apart)


def covered(axis: str, what: str, pairs: list[tuple[Tensor, Tensor]]) -> Coverage:
    """Share of the used values that lie between the outer quantiles of the seen ones, pair by pair."""
    inside, total = 0, 0
    for used_N, seen_N in pairs:
        low, high = torch.quantile(seen_N[:1_000_000], torch.tensor(QUANTILES)).tolist()
        inside += int(((used_N >= low) & (used_N <= high)).sum())
        total += len(used_N)
    used, seen = torch.cat([u for u, _ in pairs]), torch.cat([s for _, s in pairs])
    return Coverage(
        axis=axis,
        what=what,
        used=(float(used.min()), float(used.max())),
        seen=(float(seen.min()), float(seen.max())),
        share=inside / total,
    )


def as_text(realised: Realised) -> str:
    """The same as a plain table: logit scale, channels of each axis, coverage. Axes that agree are written once."""
    lines = [
        f"grid {realised.grid}, train grid {realised.train_grid}, t = {realised.t:g}",
        f"logit scale {realised.logit_scale:.4f}",
    ]
    for axis, values in realised.positions.items():
        shown = ", ".join(f"{v:g}" for v in values[:6]) + (f", ... {values[-1]:g}" if len(values) > 6 else "")
        lines.append(f"{axis} positions: {shown}")
    for name, by_head in realised.costs.items():
        paid = ", ".join("hidden" if value is None else f"{value:.4g}" for value in by_head)
        lines.append(f"the first token's logit of {name}, by head: {paid}")
    if realised.channels:
        lines.append("axis    channel      base  realised  x base   kept     period  turns over the train grid")
    by_axis = [[c for c in realised.channels if c.axis == axis] for axis in ("height", "width")]
    if [dataclasses.replace(c, axis="both") for c in by_axis[0]] == [
        dataclasses.replace(c, axis="both") for c in by_axis[1]
    ]:
        by_axis = [[dataclasses.replace(c, axis="both") for c in by_axis[0]]]
    for c in (channel for axis in by_axis for channel in axis):
        kept = "    -" if c.kept is None else f"{c.kept:5.2f}"
        lines.append(
            f"{c.axis:7} {c.index:7d} {c.base:9.5f} {c.frequency:9.5f} {c.frequency / c.base:7.3f}  {kept} "
            f"{c.period:10.1f} {c.turns:7.3f}"
        )
    for v in realised.coverage:
        lines.append(
            f"{v.axis} {v.what}: inference uses {v.used[0]:.2f} to {v.used[1]:.2f}, training shows "
            f"{v.seen[0]:.2f} to {v.seen[1]:.2f}; {v.share:.0%} inside its central 99.8 %"
        )
    return "\n".join([*lines, *realised.notes])


def parse_grid(text: str) -> Grid:
    """'24x40' -> Grid(24, 40), height first; UserError otherwise."""
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) > 0 for side in sides):
        raise UserError(f"a grid is written HEIGHTxWIDTH in tokens, for example 24x40; got {text!r}")
    grid = Grid(int(sides[0]), int(sides[1]))
    if grid.tokens > MOST_TOKENS:
        raise UserError(f"a grid of {text} has {grid.tokens:,} tokens, more than {MOST_TOKENS:,}; write a smaller one")
    return grid


def require_time(t: float) -> float:
    """t where it is one; UserError otherwise."""
    if not 0 <= t <= 1:  # also what is no number
        raise UserError(f"--t {t:g}: times lie between 0, data, and 1, noise")
    return t
