"""The command `measure`: anybody's pictures against real ones."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from rich.console import Console
from rich.progress import Progress


def measure_files(samples: Path, reference: Path, metrics: list[str], net: str, as_json: bool) -> None:
    """Print values, and everything a reader must know about them: what was resized, converted and counted."""
    from rpe2d_bench.metrics.stream import measure_paths

    notes = Console(stderr=True)
    with Progress(console=notes, transient=True, disable=not notes.is_terminal) as bars:
        tasks = {side: bars.add_task(f"{side}: features", total=None) for side in ("samples", "reference")}

        def progress(side: str, done: int, total: int) -> None:
            bars.update(tasks[side], completed=done, total=total)

        measured = measure_paths(samples, reference, metrics, net, progress=progress)
    console = Console()
    if as_json:
        console.print_json(json.dumps(dataclasses.asdict(measured)))
        return
    for name, value in measured.values.items():
        console.print(f"{name:28} {value:.6g}   version {measured.versions[name]}", highlight=False)
    for name, detail in measured.details.items():
        if detail:
            console.print(f"{name}: {detail}", highlight=False, markup=False, soft_wrap=True)
