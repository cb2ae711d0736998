"""One of two processes of a training: python two_processes.py RANK FOLDER SPEC OPTIMIZER SHARDED COMPILE ACCUMULATE."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch.distributed

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.stripes import Stripes
from helpers.trainings import SPECS, training
from rpe2d_bench.training.distributed import Ranks

rank, folder, (name, optimizer, sharded, compiled, accumulate) = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)


def begun(steps: int = 6):  # type: ignore[no-untyped-def]
    return training(
        SPECS[name], batch_size=7, steps=steps, accumulate=int(accumulate), optimizer=optimizer,
        micro_conditioning=name == "random", compile=bool(compiled), ranks=Ranks(rank, 2, bool(sharded)),
    )  # fmt: skip


made = begun()
losses, norms = [], []
for step in made.steps(Stripes()):
    losses.append(step.loss.item())
    norms.append(step.grad_norm.item())
    if step.step == 4:
        state = made.state_dict()
        if rank == 0:
            torch.save(state, folder / "checkpoint.pt")
        else:
            assert state["denoiser"]["dit.patches_out.weight"] is None  # the first process alone keeps copies
held = sum(getattr(weight, "to_local", lambda weight=weight: weight)().numel() for weight in made.denoiser.parameters())
moments = sum(
    getattr(tensor, "to_local", lambda tensor=tensor: tensor)().numel()
    for part in made.optimizers.parts
    for state in part.state.values()
    for tensor in state.values()
    if tensor.ndim
)
made.gather()
weights = {key: value.double().sum().item() for key, value in made.ema.state_dict().items()}
torch.distributed.barrier()
again = begun()
again.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True))
resumed = [step.loss.item() for step in again.steps(Stripes())]
if rank == 0:
    torch.save(made.ema.state_dict(), folder / "average.pt")
found = {
    "losses": losses, "norms": norms, "weights": weights, "moments": moments, "held": held, "resumed": resumed,
}  # fmt: skip
(folder / f"{rank}.json").write_text(json.dumps(found))
torch.distributed.barrier()
sys.stdout.flush()
os._exit(0)  # threads of the group outlive Python, and would crash it
