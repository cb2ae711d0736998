"""AdamW for every weight, or Muon for the matrices of the blocks and AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rpe2d_bench.config import Train


class Optimizers:
    """One or two torch optimizers that step together; zeroes the gradients itself."""

    def __init__(self, module: nn.Module, recipe: Train) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if _by_muon(name, p)] if recipe.optimizer == "muon" else []
        chosen = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in chosen]
        common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
        # fused on every device: one pass over memory, and deterministic
        self.parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, betas=recipe.betas, fused=True, **common)]
        if matrices:
            # match_rms_adamw: the update has AdamW's size, so that one learning rate serves both (arXiv 2502.16982)
            self.parts.append(torch.optim.Muon(matrices, momentum=0.95, adjust_lr_fn="match_rms_adamw", **common))
        self._lr = recipe.lr

    def step(self, factor: float) -> None:
        """One update at the recipe's learning rate times `factor`."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self._lr * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        for part, saved in zip(self.parts, state, strict=True):
            part.load_state_dict(saved)


def _by_muon(name: str, parameter: nn.Parameter) -> bool:
    """Hidden matrices only: not embeddings, not the first and last projection, not the modulations."""
    return parameter.ndim == 2 and ".blocks." in f".{name}" and "modulation" not in name
