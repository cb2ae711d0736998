"""Several processes that compute one training: each takes a part of every batch, and gradients are added up.

Every process draws the whole batch from the same generators, so that what is drawn does not depend on how many there
are; only the arithmetic is shared. Sums are the same bits in every process, so weights stay equal without being sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process among those of torch.distributed's default group; alone by default."""

    rank: int = 0
    world: int = 1
    sharded: bool = False  # the optimizer's state is divided among the processes

    def rows(self, count: int) -> range:
        """This process' part of a batch; parts differ by one image at most."""
        return range(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def add_up(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by the sum over all processes; all are on their way at once."""
        if self.world > 1:
            for sent in [torch.distributed.all_reduce(tensor, async_op=True) for tensor in tensors]:
                sent.wait()

    def agree(self, going: bool, device: str) -> bool:
        """What the first process says."""
        if self.world == 1:
            return going
        text = torch.full((), float(going), device=device)
        torch.distributed.broadcast(text, src=0)
        return bool(text.item())
