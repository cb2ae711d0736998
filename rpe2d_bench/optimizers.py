"""AdamW for every weight, or Muon for the matrices of the blocks and AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rpe2d_bench.config import Train
from rpe2d_bench.ranks import Ranks


class Optimizers:
    """One or two torch optimizers that step together; zeroes the gradients itself.

    Sharded, each process keeps the moments of a part of the weights, updates that part and sends it to the others
    (arXiv 1910.02054, stage 1): the same numbers, a process' share of the memory.
    """

    def __init__(self, module: nn.Module, recipe: Train, ranks: Ranks) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if _by_muon(name, p)] if recipe.optimizer == "muon" else []
        chosen = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in chosen]
        common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
        # fused on every device: one pass over memory, and deterministic
        self.parts = [_made(ranks, torch.optim.AdamW, rest, betas=recipe.betas, fused=True, **common)]
        if matrices:
            # match_rms_adamw: the update has AdamW's size, so that one learning rate serves both (arXiv 2502.16982)
            muon = {"momentum": 0.95, "adjust_lr_fn": "match_rms_adamw", **common}
            self.parts.append(_made(ranks, torch.optim.Muon, matrices, **muon))
        self._lr = recipe.lr

    def step(self, factor: float) -> None:
        """One update at the recipe's learning rate times `factor`."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self._lr * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def gather(self) -> None:
        """Bring what is sharded to the first process, all of them calling: only then has it a `state_dict`."""
        for part in self.parts:
            if (gather := getattr(part, "consolidate_state_dict", None)) is not None:
                gather(to=0)

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        for part, saved in zip(self.parts, state, strict=True):
            part.load_state_dict(saved)


def _made(
    ranks: Ranks, kind: type[torch.optim.Optimizer], weights: list[nn.Parameter], **options: Any
) -> torch.optim.Optimizer:
    if ranks.sharded and ranks.world > 1:
        from torch.distributed.optim import ZeroRedundancyOptimizer

        return ZeroRedundancyOptimizer(weights, optimizer_class=kind, **options)
    return kind(weights, **options)


def _by_muon(name: str, parameter: nn.Parameter) -> bool:
    """Hidden matrices only: not embeddings, not the first and last projection, not the modulations."""
    return parameter.ndim == 2 and ".blocks." in f".{name}" and "modulation" not in name
