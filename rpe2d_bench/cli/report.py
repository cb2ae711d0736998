"""The command `report`: pages and tables from records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_REPORTS, DEFAULT_STORE, ReportsFolder, StoreFolder, app


@app.command()
def report(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[EXPERIMENT | RUN | RECORDS.jsonl]...", help="Two are compared; none: the latest run."),
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
    reports: ReportsFolder = DEFAULT_REPORTS,
) -> None:
    """Write the report of a run from its records."""
    from rpe2d_bench.cli.session import write_reports

    write_reports(sources or [], store, reports)
