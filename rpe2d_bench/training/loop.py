"""The one training loop: a generator that yields after each step; the caller logs, checkpoints and stops.

Everything random comes from generators whose states are part of the checkpoint, so that on a CPU an interrupted
training ends bit-identical to one that was not. What a model itself draws (random positions, a stem's dilations) has
generators of its own: models of one seed see the same batches, times, noise and dropped labels at every step.

Shape suffixes: B batch, C channels, Y X pixels.
"""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rpe2d_bench.config.experiment import Train
from rpe2d_bench.diffusion import Objective, Path, draw_times, noised, path
from rpe2d_bench.encodings.interface import Context, Encoding, Grid
from rpe2d_bench.errors import UserError
from rpe2d_bench.models import Denoiser
from rpe2d_bench.models.program import compiled
from rpe2d_bench.models.stem import draw_dilation
from rpe2d_bench.training import distributed
from rpe2d_bench.training.distributed import Ranks
from rpe2d_bench.training.optimizers import Optimizers


class Batches(Protocol):
    """Where training images come from."""

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, C, Y, X] in [-1, 1], labels [B], crops [B, 3]; all randomness from rng."""
        ...


@dataclass(frozen=True)
class Step:
    """One finished training step; loss and gradient norm stay tensors so that a GPU is not waited for."""

    step: int  # counted from 1
    loss: Tensor
    grad_norm: Tensor
    lr: float


def learning_rate(recipe: Train, step: int) -> float:
    """Linear warm-up, constant, then linear to zero over the last share of the steps; step counts from 0."""
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    cooling = max(1, round(recipe.decay * recipe.steps))
    cool = min(1.0, (recipe.steps - step) / cooling) if recipe.decay else 1.0
    return recipe.lr * min(warm, cool)


def reaches_rate(recipe: Train) -> bool:
    """Whether some step has the recipe's full learning rate: warm-up and decay leave one."""
    return any(learning_rate(recipe, step) == recipe.lr for step in (recipe.warmup - 1, 0) if 0 <= step < recipe.steps)


def rows_of(encoding: Encoding, rows: slice, batch: int) -> Encoding:
    """The encoding of some of the images of a batch; what all images share stays shared."""

    def part(value: Tensor) -> Tensor:
        return value[rows] if value.ndim and len(value) == batch else value

    if rows.start == 0 and rows.stop >= batch:
        return encoding
    return Encoding(
        additive_BND=None if encoding.additive_BND is None else part(encoding.additive_BND),
        angles_BHNF=None if encoding.angles_BHNF is None else part(encoding.angles_BHNF),
        logit_scale=part(encoding.logit_scale) if isinstance(encoding.logit_scale, Tensor) else encoding.logit_scale,
        bias=None if encoding.bias is None else encoding.bias.of(part),
        averaged_angles=tuple(part(angles) for angles in encoding.averaged_angles),
    )


def seed_of(stream: str, seed: int) -> int:
    """The seed of a generator that no other seed's generators share: 64 bits of a hash of the stream and the seed."""
    return int.from_bytes(hashlib.sha256(f"{stream} {seed}".encode()).digest()[:8])


class Loss(nn.Module):
    """Mean squared error of a model's velocity."""

    def __init__(self, denoiser: Denoiser, path: Path) -> None:
        super().__init__()
        self.denoiser, self._path = denoiser, path

    def forward(
        self,
        x_BCYX: Tensor,
        eps_BCYX: Tensor,
        t_B: Tensor,
        labels_B: Tensor,
        crop_B3: Tensor,
        encoding: Encoding,
        dilation: int = 1,
    ) -> Tensor:
        """Scalar, of images, noise, times [B] and what the model is told of them."""
        noised_BCYX, velocity_BCYX = noised(self._path, x_BCYX, eps_BCYX, t_B)
        return F.mse_loss(self.denoiser(noised_BCYX, t_B, labels_B, encoding, crop_B3, dilation), velocity_BCYX)


class Training:
    """Weights, their moving average, optimizer, generators and step: all that a checkpoint holds."""

    def __init__(
        self,
        denoiser: Denoiser,
        recipe: Train,
        train_grid: Grid,
        *,
        seed: int,
        device: str = "cpu",
        ranks: Ranks = Ranks(),  # noqa: B008  (a frozen value)
    ) -> None:
        self.recipe, self.train_grid, self.device, self.ranks = recipe, train_grid, device, ranks
        if recipe.batch_size < ranks.world:
            raise UserError(f"train.batch_size {recipe.batch_size} is less than the {ranks.world} GPUs that share it")
        if denoiser.objective != Objective(recipe.path, recipe.prediction):
            raise ValueError(f"a model of {denoiser.objective} is not what the recipe trains")
        self.denoiser = denoiser.to(device)
        self.ema = copy.deepcopy(self.denoiser).requires_grad_(False)
        if ranks.divided:
            distributed.divide(self.denoiser, self.ema, ranks, device)
        self.optimizers = Optimizers(self.denoiser, recipe)
        self.rng = Generator(device).manual_seed(seed)
        self.data_rng = Generator("cpu").manual_seed(seed + 1)
        self.encoding_rng = Generator(device).manual_seed(seed_of("encoding", seed))
        self.stem_rng = Generator("cpu").manual_seed(seed_of("stem", seed))
        self.step = 0
        loss: nn.Module = Loss(self.denoiser, path(recipe.path))
        self._replicas: DistributedDataParallel | None = None
        if ranks.world > 1 and not ranks.divided:
            loss = self._replicas = distributed.replicas(loss)
        divided = functools.partial(distributed.encoding_of, self.denoiser)
        self._encoding: Callable[[Context], Encoding] = divided if ranks.divided else self.denoiser.encoding
        self._loss: Callable[..., Tensor] = compiled(loss, device, "train.compile") if recipe.compile else loss
        self._weights: list[Tensor] = [p for p in self.denoiser.parameters() if p.requires_grad]
        averaged = dict(self.ema.named_parameters())
        self._averages: list[Tensor] = [averaged[n] for n, p in self.denoiser.named_parameters() if p.requires_grad]

    def _backward(self, batch: tuple[Tensor, ...], encoding: Encoding, dilation: int) -> Tensor:
        """Add up gradients over the parts of a batch; the batch's loss. What is drawn does not depend on the parts."""
        autocast = torch.autocast(self.device, torch.bfloat16, enabled=self.recipe.precision == "bf16")
        count, learned = len(batch[0]), any(p.requires_grad for p in self.denoiser.encoding.parameters())
        *before, last = self.ranks.parts(count, self.recipe.accumulate)
        total = batch[0].new_zeros(())
        for rows in (*before, last):
            part = [tensor[rows] for tensor in batch]
            # gradients are exchanged once a batch
            with nullcontext() if self._replicas is None or rows == last else self._replicas.no_sync():
                with autocast:
                    loss = self._loss(*part, rows_of(encoding, rows, count), dilation)
                # by rows, which parts and processes have unequal numbers of; torch averages over processes
                loss = loss * (len(part[0]) * self.ranks.world / count)
                loss.backward(retain_graph=learned and rows != last)  # parts share a learned encoding's graph
            total += loss.detach()
            del loss  # and with it what this part has kept
        return self.ranks.total(total) / self.ranks.world

    def steps(self, images: Batches) -> Iterator[Step]:
        """Train to the end of the recipe, yielding after each step."""
        recipe, device = self.recipe, self.device
        autocast = torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bf16")
        while self.step < recipe.steps:
            drawn = images.batch(self.data_rng, recipe.batch_size)
            x_BCYX, labels_B, crop_B3 = (part.to(device, non_blocking=True) for part in drawn)
            batch = x_BCYX.shape[0]
            t_B = self.denoiser.objective.learned(draw_times(batch, self.rng, recipe.time_mean, recipe.time_std))
            eps_BCYX = torch.randn(x_BCYX.shape, generator=self.rng, device=device)
            dropped_B = torch.rand(batch, generator=self.rng, device=device) < recipe.class_dropout
            labels_B = torch.where(dropped_B, self.denoiser.dit.no_class, labels_B)
            context = Context(self.denoiser.dit.grid(x_BCYX), self.train_grid, t_B, self.encoding_rng, batch, crop_B3)
            dilation = draw_dilation(self.stem_rng) if self.denoiser.dit.stem is not None else 1
            with autocast:
                encoding = self._encoding(context)
            loss = self._backward((x_BCYX, eps_BCYX, t_B, labels_B, crop_B3), encoding, dilation)
            grad_norm = distributed.whole(nn.utils.clip_grad_norm_(self._weights, recipe.grad_clip, foreach=True))
            lr = learning_rate(recipe, self.step)
            self.optimizers.step(lr / recipe.lr)
            with torch.no_grad():
                # A short average first, so that the initial weights are forgotten
                decay = min(recipe.ema, (1 + self.step) / (10 + self.step))
                torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
            self.step += 1
            yield Step(self.step, loss, grad_norm, lr)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue as if nothing had happened, in copies on the CPU (see Ranks.copied)."""
        state = {
            "step": self.step,
            "denoiser": self.denoiser.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "rng": self.rng.get_state(),
            "data_rng": self.data_rng.get_state(),
            "encoding_rng": self.encoding_rng.get_state(),
            "stem_rng": self.stem_rng.get_state(),
        }
        copies: dict[str, Any] = self.ranks.copied(state)
        return copies

    def averaged_weights(self) -> dict[str, Tensor]:
        """Of the moving average, in copies on the CPU (see Ranks.copied)."""
        copies: dict[str, Tensor] = self.ranks.copied(self.ema.state_dict())
        return copies

    def gather(self) -> None:
        """After the last step: where weights are divided, every process makes the moving average whole in each."""
        if self.ranks.divided:
            distributed.replace_weights(self.ema, lambda _, weight: distributed.whole(weight))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.step = state["step"]
        distributed.load(self.denoiser, state["denoiser"])
        distributed.load(self.ema, state["ema"])
        self.optimizers.load_state_dict(state["optimizers"])
        for name in ("rng", "data_rng", "encoding_rng", "stem_rng"):
            getattr(self, name).set_state(state[name].cpu())
