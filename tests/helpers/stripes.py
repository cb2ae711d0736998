"""A data set without files: images whose label is the direction of their stripes."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


class Stripes:
    """Images whose label is the direction of their stripes."""

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        labels = torch.randint(2, (batch_size,), generator=rng)
        phase = torch.randint(8, (batch_size, 1, 1), generator=rng)
        wave = ((torch.arange(16).view(1, 1, 16) + phase) % 8 < 4).float() * 2 - 1
        x = wave.expand(-1, 16, -1)
        x = torch.where(labels.view(-1, 1, 1) == 0, x, x.transpose(1, 2))
        return x.unsqueeze(1), labels, torch.rand(batch_size, 3, generator=rng)
