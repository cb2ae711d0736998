"""Records as a tidy pandas frame, for notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load_records(source: str | Path = "runs", run: str | None = None) -> pd.DataFrame:
    """One row per result and metric, from a store or a .jsonl file; `run` keeps one run, 'latest' the newest.

    Columns are those of every report's CSV. Raises UserError where there are no records.
    """
    from rpe2d_bench.report import load_frame
    from rpe2d_bench.storage import records

    found = records.read(Path(source))
    chosen = records.latest_run(found) if run == "latest" else run
    return load_frame([record for record in found if chosen in (None, record.run)])
