"""One of two processes of a training: python two_processes.py RANK FOLDER SPEC OPTIMIZER SHARDED."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

# Before there is a group: default arguments in these would hold it, and its threads would outlive Python and crash it.
import torch.distributed.nn
import torch.distributed.optim

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.stripes import Stripes
from helpers.trainings import SPECS, training
from rpe2d_bench.training.distributed import Ranks

rank, folder, (name, optimizer, sharded) = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)
made = training(
    SPECS[name], batch_size=7, steps=6, accumulate=2, optimizer=optimizer, micro_conditioning=name == "random",
    ranks=Ranks(rank, 2, sharded == "sharded"),
)  # fmt: skip
losses = []
for step in made.steps(Stripes()):
    losses.append(step.loss.item())
    if step.step == 4:
        made.optimizers.gather()
        if rank == 0:
            torch.save(made.state_dict(), folder / "checkpoint.pt")
moments = sum(
    tensor.numel()
    for part in made.optimizers.parts
    for state in getattr(part, "optim", part).state.values()
    for tensor in state.values()
    if tensor.ndim
)
weights = {key: value.double().sum().item() for key, value in made.ema.state_dict().items()}
(folder / f"{rank}.json").write_text(json.dumps({"losses": losses, "weights": weights, "moments": moments}))
del made, step  # a sharded optimizer holds the group as well
gc.collect()
torch.distributed.destroy_process_group()
