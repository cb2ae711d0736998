"""The checkpoint of a training under way: its whole state and its curve so far, in one file that carries its digest.

What is written is a copy of the state on the CPU; a thread writes it, and a kill at any moment leaves the file before.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.storage.digests import open_with_digest, write_with_digest

if TYPE_CHECKING:
    from rpe2d_bench.training.loop import Training

CHECKPOINT, CURVE = "checkpoint.pt", "curve.jsonl"


def save(state: dict[str, Any], partial: Path, elapsed: float, drawn: str) -> None:
    """Put a training's state in the place of the one before; drawn: the curve's lines until here. Raises OSError."""
    import torch

    whole = {"training": state, "elapsed": elapsed, "curve": drawn}
    write_with_digest(partial / CHECKPOINT, lambda file: torch.save(whole, file))


class Checkpoints:
    """Writes the state of a training in a thread, one at a time, while the training goes on; a context manager.

    Leaving it waits for the last one, since the folder is another process' as soon as the stage is left.
    """

    def __init__(self, partial: Path, device: str) -> None:
        self.cost = 0.0  # seconds that the last one took from the training
        self._partial, self._device = partial, device
        self._thread = ThreadPoolExecutor(1)
        self._under_way: Future[float] | None = None
        self._held = 0.0  # seconds that the training itself waited for the copies

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *ended: object) -> None:
        self._thread.shutdown()

    def begin(self, training: Training, elapsed: float, drawn: str) -> None:
        """Copy the state of now, and have it written. Raises OSError where the one before could not be."""
        self.finish()
        began = time.perf_counter()
        state = training.state_dict()
        self._held = time.perf_counter() - began
        self._under_way = self._thread.submit(self._write, state, elapsed, drawn)

    def ready(self) -> bool:
        """Whether none is under way. Raises OSError where the last one could not be written."""
        if self._under_way is not None and self._under_way.done():
            self.finish()
        return self._under_way is None

    def finish(self) -> None:
        """Wait for the one under way. Raises OSError where it could not be written."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            # A CPU's training and the writing share processors; a GPU's goes on, and disks are busy 1/10 of the time
            self.cost = self._held + under_way.result() * (1.0 if self._device == "cpu" else 0.2)

    def _write(self, state: dict[str, Any], elapsed: float, drawn: str) -> float:
        began = time.perf_counter()
        save(state, self._partial, elapsed, drawn)
        return time.perf_counter() - began


def load(partial: Path, device: Any) -> tuple[dict[str, Any], float, str]:
    """The state of a training, the seconds spent on it, and its curve.

    Raises digests.Damaged where no digest vouches for them, and whatever torch raises for a file that is no checkpoint.
    """
    import torch

    with open_with_digest(partial / CHECKPOINT) as file:
        state = torch.load(file, map_location=device, weights_only=True)
    return state["training"], float(state["elapsed"]), state["curve"]
