"""Where a training pool lies, and how rows of it reach the device without the host waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor

ON_DEVICE = 16 * 2**30  # bytes of a pool that are put into an accelerator's memory; a larger one stays memory-mapped


def rows(pool: Tensor, index: Tensor | None, device: torch.device) -> Tensor:
    """Rows of a pool on the device; without an index, the pool itself where it shall lie."""
    if index is None:
        return pool.to(device) if pool.nbytes <= ON_DEVICE else pool
    if pool.device.type == device.type:
        return pool[placed(index, device)]
    return placed(pool[index], device)


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the host on the device; from pinned memory, so that nothing waits for the copy."""
    if device.type == tensor.device.type:
        return tensor
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
