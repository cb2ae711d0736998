"""The plan of an experiment file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolve.load import load_experiment


def planned(path: Path, *overrides: str, only: Iterable[str] = ()) -> Plan:
    """What is to be done for the file, or for some of its methods."""
    return make_plan(load_experiment(path, overrides, tuple(only)), overrides)
