"""Z-Image: tokens of all images of a batch in one call, those of all texts in another; its timestep is 1 at data."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rpe2d_bench.encodings.adapters.rules import (
    CPU,
    Clock,
    Replaced,
    Rules,
    Spectrum,
    arguments,
    complex_turns,
    eager,
    spectrum_of,
)
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.errors import UserError


class Turned:
    """In place of diffusers' RopeEmbedder, which is no module: ids [S, 3] -> complex rotations [S, F of all axes]."""

    def __init__(self, stock: Any, rules: Rules, clock: Clock, seen: Spectrum) -> None:
        self.stock, self.rules, self.clock, self.seen = stock, rules, clock, seen
        self.grid: Grid | None = None  # of the images in the transformer's latest call
        self._outside_traces = eager(self._turned)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["stock"], name)

    def remember(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = arguments(module, args, kwargs)
        self.clock.read(given.get("t"))
        patch = given.get("patch_size", 2)
        grids = {Grid(x.shape[-2] // patch, x.shape[-1] // patch) for x in given["x"] if hasattr(x, "shape")}
        if len(grids) != 1:
            raise UserError("the rules need images of one size in a batch; call the transformer once per size")
        self.grid = grids.pop()

    def __call__(self, ids: Tensor) -> Tensor:
        turns_SF: Tensor = self._outside_traces(ids)
        return turns_SF

    def _turned(self, ids: Tensor) -> Tensor:
        turns_SF: Tensor = self.stock(ids)
        assert self.grid is not None, "the transformer's hook comes first"
        ctx = self.rules.context(self.grid, self.clock.t)
        lines, root = self.rules.lines(ctx, self.seen), self.rules.root(ctx)
        places_S3 = ids.detach().to(CPU).long()
        if bool(places_S3[:, 1:].any()):  # texts lie in row 0 and column 0
            inside_S = places_S3[:, 0] > 0  # what fills the sequence up has index 0
            first = self.stock.axes_dims[0] // 2
            for axis, line in enumerate(lines):
                pairs = self.seen.pairs[axis]
                if line.changed:
                    turns_SF = turns_SF.clone()
                    turns_NF = complex_turns(line.angles())[places_S3[inside_S, axis + 1]]
                    turns_SF[inside_S.to(ids.device), first : first + pairs] = turns_NF.to(ids.device)
                first += pairs
        return turns_SF if root == 1 else turns_SF * root


def install(transformer: Any, rules: Rules, clock: Clock) -> list[Any]:
    """The embedder's place taken, and a hook that tells it the time and the grid."""
    ours = Turned(transformer.rope_embedder, rules, clock, spectrum_of(transformer))
    place = Replaced(transformer, "rope_embedder", ours)
    return [transformer.register_forward_pre_hook(eager(ours.remember), with_kwargs=True), place]
