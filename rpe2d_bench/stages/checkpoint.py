"""The checkpoint of a training under way: its whole state and its curve so far, in one file that carries its digest."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.storage.digests import open_with_digest, write_with_digest

if TYPE_CHECKING:
    from rpe2d_bench.training.loop import Training

CHECKPOINT, CURVE = "checkpoint.pt", "curve.jsonl"


def save(training: Training, partial: Path, elapsed: float, drawn: str) -> None:
    """Put the state in the place of the one before; drawn: the curve's lines until here. Raises OSError."""
    import torch

    state = {"training": training.state_dict(), "elapsed": elapsed, "curve": drawn}
    write_with_digest(partial / CHECKPOINT, lambda file: torch.save(state, file))


def load(partial: Path, device: Any) -> tuple[dict[str, Any], float, str | None, bool]:
    """The state of a training, the seconds spent on it, its curve, and whether a digest vouches for them.

    Older versions left no digest and no curve. Raises digests.Damaged where the digest does not match, and whatever
    torch raises for a file that is no checkpoint.
    """
    import torch

    with open_with_digest(partial / CHECKPOINT) as (file, vouched):
        state = torch.load(file, map_location=device, weights_only=True)
    return state["training"], float(state["elapsed"]), state.get("curve"), vouched


def lines_until(step: int, curve: Path) -> str:
    """The readable lines of a curve up to a step, for checkpoints that do not hold them."""
    kept = []
    for line in curve.read_bytes().split(b"\n") if curve.exists() else []:
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            if json.loads(line)["step"] <= step:
                kept.append(line.decode() + "\n")
    return "".join(kept)
