"""AdamW for every weight, or Muon for the matrices of the blocks and AdamW for the rest."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from rpe2d_bench.config.experiment import Train
from rpe2d_bench.training.distributed import held

MUON: dict[str, Any] = {
    "nesterov": True,
    "ns_coefficients": (3.4445, -4.7750, 2.0315),  # the steepest quintic at zero: Jordan et al. 2024
    "eps": 1e-7,
    "ns_steps": 5,
    "adjust_lr_fn": "match_rms_adamw",
}


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised (Jordan et al. 2024, Muon), the matrices of one shape at once; decoupled weight decay.

    The update has the size of AdamW's, 0.2 sqrt(longest side) times the rate, so that one learning rate serves both
    (arXiv 2502.16982). Settings and state have the names of torch.optim.Muon, so that either reads the other's
    checkpoints; with `dtype` bfloat16 its numbers are those of torch, bit by bit.

    Args:
        params: matrices [R, C].
        lr, weight_decay, momentum: as in torch.optim.Muon; the momentum is Nesterov's.
        dtype: that the Newton-Schulz iteration computes in. Where a processor has no products in bfloat16, float32
            is many times as fast. No part of the state: a checkpoint continues in either.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, **MUON})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes[weight.shape].append(weight)
            for weights in shapes.values():
                moments = [self._momentum(weight) for weight in weights]
                update_by_muon(weights, moments, group, self.dtype)

    def _momentum(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def update_by_muon(weights: list[Tensor], moments: list[Tensor], group: dict[str, Any], dtype: torch.dtype) -> None:
    """One update, in place, of matrices [R, C] of one shape that all have gradients; `group` is Muon's settings."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    torch._foreach_lerp_(moments, gradients, 1 - group["momentum"])
    nesterov_NRC: Any = torch.stack(torch._foreach_lerp(gradients, moments, group["momentum"]))
    settings = (group["ns_coefficients"], group["ns_steps"], group["eps"], dtype)
    if hasattr(nesterov_NRC, "device_mesh"):
        update_NRC = _orthogonal_together(nesterov_NRC, *settings)
    else:
        update_NRC = orthogonal(nesterov_NRC, *settings).float()
    torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
    torch._foreach_add_(weights, list(update_NRC), alpha=-group["lr"] * (0.2 * math.sqrt(max(weights[0].shape))))


def _orthogonal_together(updates_NRC: Any, *settings: Any) -> Any:
    """`orthogonal` of matrices whose rows are divided: each process takes whole matrices, and gives rows back."""
    from torch.distributed.tensor import DTensor, Shard

    whole = updates_NRC.redistribute(placements=[Shard(0)])
    mine = orthogonal(whole.to_local(), *settings).float()
    done = DTensor.from_local(mine, whole.device_mesh, [Shard(0)], shape=whole.shape, stride=whole.stride())
    return done.redistribute(placements=updates_NRC.placements)


def orthogonal(
    updates_NRC: Tensor,
    coefficients: tuple[float, float, float],
    steps: int,
    eps: float,
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """Each matrix with its singular values near 1, by Newton-Schulz in `dtype` (Jordan et al. 2024, Muon)."""
    tall = updates_NRC.shape[1] > updates_NRC.shape[2]
    x_NRC = updates_NRC.to(dtype)
    x_NRC = x_NRC.mT if tall else x_NRC
    x_NRC = x_NRC / x_NRC.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    a, b, c = coefficients
    for _ in range(steps):
        gram_NRR = x_NRC @ x_NRC.mT
        gram_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=b, alpha=c)
        x_NRC = torch.baddbmm(x_NRC, gram_NRR, x_NRC, beta=a)
    return x_NRC.mT if tall else x_NRC


class Optimizers:
    """One or two torch optimizers that step together; zeroes the gradients itself.

    Where weights are divided among processes, so are moments: the same numbers, a process' share of the memory.
    """

    def __init__(self, module: nn.Module, recipe: Train) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if by_muon(name, p)] if recipe.optimizer == "muon" else []
        chosen = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in chosen]
        common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
        # fused on every device: one pass over memory, and deterministic
        self.parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, betas=recipe.betas, fused=True, **common)]
        if matrices:
            # the training's own arithmetic: what is slow for its products is slow here
            dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
            self.parts.append(Muon(matrices, dtype=dtype, **common))
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
        """From a `state_dict` of whole tensors."""
        for part, saved in zip(self.parts, state, strict=True):
            weights = [weight for group in part.param_groups for weight in group["params"]]
            moments = {
                index: {name: held(value, weights[index]) for name, value in values.items()}
                for index, values in saved["state"].items()
            }
            part.load_state_dict({**saved, "state": moments})


def by_muon(name: str, parameter: nn.Parameter) -> bool:
    """Hidden matrices only: not embeddings, not the first and last projection, not the modulations."""
    return parameter.ndim == 2 and ".blocks." in f".{name}" and "modulation" not in name
