"""Several processes that compute one training: each takes rows of every batch, and torch averages the gradients.

Every process draws the whole batch from the same generators, so that what is drawn does not depend on how many there
are; only the arithmetic is shared. Each holds the whole model (DistributedDataParallel), or weights, gradients,
averages and the optimizer's state are divided among them (FSDP2, `fully_shard`). What is written is whole either way.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map_only

from rpe2d_bench.errors import UserError

if TYPE_CHECKING:
    from rpe2d_bench.encodings.interface import Context, Encoding
    from rpe2d_bench.models import Denoiser


@dataclass(frozen=True)
class Ranks:
    """This process among those of torch.distributed's default group; alone by default."""

    rank: int = 0
    world: int = 1
    sharded: bool = False  # what a training holds is divided among the processes

    @property
    def divided(self) -> bool:
        return self.sharded and self.world > 1

    def rows(self, count: int) -> range:
        """This process' part of a batch; parts differ by one image at most."""
        return range(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def parts(self, count: int, accumulate: int) -> list[slice]:
        """Its rows, in so many parts or fewer; as many in every process, since they exchange weights in each."""
        rows, least = self.rows(count), count // self.world
        size = -(-least // accumulate)
        starts = rows[::size][: -(-least // size)]
        return [slice(*ends) for ends in pairwise([*starts, rows.stop])]

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def agree(self, going: bool, device: str) -> bool:
        """What the first process says."""
        if self.world == 1:
            return going
        text = torch.full((), float(going), device=device)
        torch.distributed.broadcast(text, src=0)
        return bool(text.item())

    def copied(self, state: Any) -> Any:
        """A nested state whose tensors are whole copies on the CPU, which no further step changes.

        Every process calls this where it is `divided`; in all but the first, None stands for the tensors.
        """

        def copy(tensor: Tensor) -> Tensor | None:
            full = whole(tensor)
            if self.rank:
                return None
            # of a GPU into pinned memory, so that copies run at the bus' speed and are waited for once
            kept = torch.empty_like(full, device="cpu", pin_memory=full.is_cuda)
            return kept.copy_(full, non_blocking=full.is_cuda)

        copies = tree_map_only(Tensor, copy, state)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return copies


def whole(tensor: Any, **options: Any) -> Tensor:
    """A tensor that may be divided (a DTensor), in full; options are those of DTensor.full_tensor. All call it."""
    full: Tensor = tensor.full_tensor(**options) if hasattr(tensor, "full_tensor") else tensor
    return full


def replicas(loss: nn.Module) -> DistributedDataParallel:
    """A module whose gradients are averaged over all processes, each of which has it whole."""
    with warnings.catch_warnings():  # torch 2.13 has another name for broadcast_buffers, which 2.9 does not know
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(loss, broadcast_buffers=False, gradient_as_bucket_view=True)


def divide(denoiser: Denoiser, average: Denoiser, ranks: Ranks, device: str) -> None:
    """Divide the weights of a model and of its moving average among all processes, in place.

    Those of a block are whole only while it computes. Raises UserError for a weight that is a single number.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard, distribute_tensor

    if single := [name for name, weight in denoiser.named_parameters() if not weight.ndim]:
        raise UserError(
            f"resources.sharded: the weight {single[0]} is one number, which can't be divided; leave it out"
        )
    mesh = init_device_mesh(device, (ranks.world,))
    for block in denoiser.dit.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(denoiser.dit, mesh=mesh)
    part = functools.partial(distribute_tensor, device_mesh=mesh, placements=[Shard(0)], src_data_rank=None)
    replace_weights(denoiser.encoding, lambda _, weight: part(weight))
    for weight in denoiser.encoding.parameters():
        if weight.requires_grad:
            weight.register_hook(lambda gradient: gradient / ranks.world)  # which `encoding_of` sums
    divided = dict(denoiser.named_parameters())
    replace_weights(average, lambda name, weight: held(weight, divided[name]))


def encoding_of(denoiser: Denoiser, context: Context) -> Encoding:
    """What the encoding of a divided model gives; it is no part of the model's forward pass, which FSDP2 guards."""
    from torch.distributed.tensor import Partial

    module = denoiser.encoding
    weights = {name: whole(weight, grad_placements=[Partial()]) for name, weight in module.named_parameters()}
    encoding: Encoding = torch.func.functional_call(module, weights, (context,))
    return encoding


def replace_weights(module: nn.Module, change: Callable[[str, Any], Tensor]) -> None:
    """Put another parameter in the place of each; change: its name and value -> a tensor."""
    for name, weight in list(module.named_parameters()):
        owner, _, own = name.rpartition(".")
        changed = nn.Parameter(change(name, weight.detach()), requires_grad=weight.requires_grad)
        setattr(module.get_submodule(owner), own, changed)


def held(value: Any, weight: Any) -> Any:
    """What a process holds of a whole tensor that belongs to a weight: its part, where the weight is divided."""
    if not hasattr(weight, "full_tensor") or value.shape != weight.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    value = value.to(weight.device)
    return distribute_tensor(value, weight.device_mesh, weight.placements, src_data_rank=None)


def load(module: nn.Module, state: Mapping[str, Any]) -> None:
    """`load_state_dict` with whole tensors, for a module whose weights may be divided."""
    own = module.state_dict()
    module.load_state_dict({name: held(value, own.get(name)) for name, value in state.items()})
