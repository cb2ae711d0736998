"""The command `verify`: published cells, computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import app, opened
from rpe2d_bench.storage.folder import folder_of_store


@app.command()
def verify(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="Folder of a report, or a records file.")],
    cell: Annotated[
        str | None, typer.Argument(metavar="[CELL]", help="METHOD[@SIZE[#SEED]]; by default every cell.")
    ] = None,
    store: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where it is computed; kept.", parser=folder_of_store, callback=opened),
    ] = Path("runs/verify"),
    samples: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE", help="Score the samples that this store kept; draw none.", parser=folder_of_store
        ),
    ] = None,
) -> None:
    """Compute published cells again from their recipes, and compare; exit code 1 where they differ."""
    from rpe2d_bench.cli.console import open_console, put_line
    from rpe2d_bench.runner.again import again, chosen, name_of
    from rpe2d_bench.storage import records
    from rpe2d_bench.storage.store import Store

    found = records.read(report)
    run = records.latest_run(found)
    found = [record for record in found if record.run == run]
    console, kept, agree = open_console(), None if samples is None else Store(samples), True
    for record in chosen(found, cell):
        compared = again(record, found, Store(store), kept)
        agree &= all(value.agrees for value in compared.values)
        moved = "; this version computes some stage of it differently" if compared.moved else ""
        console.print(f"{name_of(record)}: key {record.key}{moved}", style="bold", highlight=False, markup=False)
        for value in compared.values:
            now = "" if value.again is None else f"{value.again:12.6g}"
            line = f"  {value.metric:28} {value.published:12.6g} {now}  {value.verdict}"
            put_line(console, line)
    if not agree:
        raise SystemExit(1)
