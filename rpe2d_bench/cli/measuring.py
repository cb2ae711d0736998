"""The command `measure`: anybody's images against real ones."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from rpe2d_bench.errors import UserError, unknown

DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class Request:
    """What to measure; paths are a folder, a .zip or an .npz."""

    samples: Path
    reference: Path
    metrics: list[str]
    features: str
    weights: Path | None = None
    judge: str | None = None
    train_resolution: tuple[int, int] | None = None
    training: Path | None = None
    count: int | None = None
    seed: int = 0  # of the images that `count` draws, and of metrics that draw
    device: str = "cpu"


def measure_files(request: Request, as_json: bool) -> None:
    """Print values, and everything a reader must know about them: what was resized, converted and counted."""
    from rpe2d_bench.metrics.score_files import measure_paths

    if request.device not in DEVICES:
        raise unknown("device", request.device, DEVICES)
    if request.device != "cpu":
        import torch

        if not getattr(torch, "mps" if request.device == "mps" else "cuda").is_available():
            raise UserError(f"--device {request.device}: torch finds none here; leave it out to measure on the CPU")
    notes = Console(stderr=True)
    with Progress(console=notes, transient=True, disable=not notes.is_terminal) as bars:
        tasks = {side: bars.add_task(f"{side}: features", total=None) for side in ("samples", "reference")}
        if request.training is not None:
            tasks["training"] = bars.add_task("training: features", total=None)

        def progress(side: str, done: int, total: int) -> None:
            bars.update(tasks[side], completed=done, total=total)

        measured = measure_paths(
            request.samples, request.reference, request.metrics, request.features, judge=request.judge,
            weights=request.weights, train_resolution=request.train_resolution, training=request.training,
            count=request.count, seed=request.seed, device=request.device, progress=progress,
        )  # fmt: skip
    console = Console()
    if as_json:
        console.print_json(json.dumps(dataclasses.asdict(measured)))
        return
    for name, value in measured.values.items():
        console.print(f"{name:28} {value:.6g}   version {measured.versions[name]}", highlight=False)
    for side, source in measured.details["sources"].items():
        console.print(_account(side, source, request.seed), highlight=False, markup=False, soft_wrap=True)
    for name, detail in measured.details.items():
        if detail and name != "sources":
            console.print(f"{name}: {detail}", highlight=False, markup=False, soft_wrap=True)


def _account(side: str, source: dict[str, Any], seed: int) -> str:
    """What was read of one side, in one line."""
    printed = f"{source['used']:,} images"
    if source["used"] != source["found"]:
        printed += f" drawn of {source['found']:,} (seed {seed})"
    printed += f", {', '.join(f'{size}: {number:,}' for size, number in source['sizes'].items())}"
    printed += "".join(f"; {number:,} {note}" for note, number in source["notes"].items())
    return f"{side}: {printed}; {'; '.join(f'{view} {resize}' for view, resize in source['resize'].items())}"
