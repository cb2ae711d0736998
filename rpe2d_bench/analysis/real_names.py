"""How images that no method made are called: in tables, figures, MLflow and on the terminal."""

from __future__ import annotations

from typing import NamedTuple

from rpe2d_bench.storage.records import Record

REAL = "real images"  # where a method would stand


class Names(NamedTuple):
    """How images that no method made are called."""

    short: str  # on the terminal
    run: str  # in MLflow
    row: str  # in tables and figures


NAMES = {  # by the stage of their records
    "floor": Names(REAL, REAL, f"{REAL} (floor)"),
    "reconstruction": Names("reconstructions", f"{REAL} through the autoencoder", f"{REAL} through the autoencoder"),
    "enlarged": Names("enlarged", f"{REAL}, enlarged", "a perfect model, enlarged"),
    "noise": Names("noised", f"{REAL} with noise", "noise of 8 grey levels"),
}
RULERS = ("enlarged", "noise")  # changed in a way that a reader knows


def made_by(record: Record) -> str | None:
    """The method, or how images that no method made are called; None of a training."""
    return record.method or (NAMES[record.stage].run if record.stage in NAMES else None)
