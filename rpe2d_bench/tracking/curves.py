"""Training curves as points."""

from __future__ import annotations

import json
from pathlib import Path

from rpe2d_bench.storage.records import Record


def curve(record: Record, store: Path) -> dict[tuple[str, int], float]:
    """(name, step) -> value of every line; a step repeated after a resume counts once, the last time."""
    path = record.artifacts.curve
    if path is None or not (store / path).is_file():
        return {}
    points: dict[tuple[str, int], float] = {}
    for line in (store / path).read_bytes().split(b"\n"):
        try:
            entry = json.loads(line)
            step = int(entry.pop("step"))
            points |= {(key, step): float(value) for key, value in entry.items() if isinstance(value, int | float)}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a kill can tear the last line
    return points
