"""`rpe2d_bench.measure`: sets of images measured, as a data frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.analysis.image_sets import MeasuredSet, compare_sets
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.look import Look

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("set", "metric", "value", "low", "high", "against", "difference", "difference_low", "difference_high", "p",
           "p_adjusted", "verdict")  # fmt: skip


def measure(
    *sets: str | Path,
    reference: str | Path,
    against: str | None = None,
    store: str | Path | None = "runs",
    **look: Any,
) -> pd.DataFrame:
    """Measure sets of images (folders, .zip, .npz) against real ones: a row per set and metric.

    `measure("a", "b", reference="real", metrics=["fd", "kid"])`. Columns: value with the ends of its 95 % interval, and
    the difference from `against` (by default the first set) with interval, p, p after Holm's correction over the sets,
    and verdict; empty where sets are not paired. Values are as recorded, distances and shares without a factor. `look`:
    metrics, net, judge, weights, train_resolution, training, count, seed, device as the command `measure` takes them.
    `store`: folder that keeps features for the next call, None: nowhere. Raises UserError for what can't be measured.
    """
    import pandas as pd

    if not sets:
        raise UserError("no images to measure; give at least one folder, .zip or .npz")
    asked: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in look.items()}
    asked |= {name: Path(look[name]) for name in ("weights", "training") if look.get(name) is not None}
    place = None if store is None else Path(store)
    found = compare_sets([Path(path) for path in sets], Path(reference), Look(**asked), against=against, store=place)
    return pd.DataFrame([row for one in found for row in _rows(one)], columns=list(COLUMNS))


def _rows(one: MeasuredSet) -> list[dict[str, Any]]:
    rows = []
    for key, value in one.measurement.values.items():
        low, high = one.intervals.get(key, (None, None))
        row = {"set": one.name, "metric": key, "value": value, "low": low, "high": high}
        if found := one.differences.get(key):
            row |= {"against": found.against, "difference": found.difference, "difference_low": found.low,
                    "difference_high": found.high, "p": found.p, "p_adjusted": found.p_adjusted,
                    "verdict": found.verdict}  # fmt: skip
        rows.append(row)
    return rows
