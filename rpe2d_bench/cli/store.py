"""The commands `store` and `gc`: what lies in a store, and freeing what nothing needs."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, AsJson, StoreArgument, StoreFolder, app

DAY = 86_400.0


@app.command("store")
def show_store(store: StoreArgument = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show what lies in a store, by stage and size."""
    rows = _rows(store)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.table import Table

    from rpe2d_bench.cli.console import open_console, put_line
    from rpe2d_bench.plan.cost import in_bytes

    table = Table(box=None, pad_edge=False)
    where = ("where",) if any("where" in row for row in rows) else ()
    for column in ("what", "state", "number", "size", *where):
        table.add_column(column, justify="right" if column in ("number", "size") else "left")
    for row in rows:
        side = ("here" if row["where"] == str(store.resolve()) else "there",) if where else ()
        table.add_row(row["what"], row["state"], f"{row['number']:,}", in_bytes(row["bytes"]), *side)
    console, totals = open_console(), Counter[str]({str(store.resolve()): 0})
    for row in rows:
        totals[row.get("where", str(store.resolve()))] += row["bytes"]
    console.print(table)
    for root, total in totals.items():
        put_line(console, f"{root}: {in_bytes(total)}")


def _rows(folder: Path) -> list[dict[str, Any]]:
    from rpe2d_bench.errors import UserError
    from rpe2d_bench.storage import usage
    from rpe2d_bench.storage.store import Store

    if not folder.is_dir():
        raise UserError(f"there is no store at {folder}; name its folder, or run an experiment first")
    rows: dict[tuple[str, str, bool], dict[str, Any]] = {}
    place = Store(folder)
    for item in usage.items(place):
        state = "being worked on" if item.busy else item.state.replace("other", "")
        row = rows.setdefault((item.kind, state, item.elsewhere is not None), {"what": item.kind, "state": state})
        if place.mirror is not None:
            row["where"] = place.mirror.address if item.elsewhere else str(place.root)
        row["number"] = row.get("number", 0) + 1
        row["bytes"] = row.get("bytes", 0) + item.size
    return list(rows.values())


@app.command()
def gc(
    store: StoreFolder = DEFAULT_STORE,
    days: Annotated[float, typer.Option(help="Leave what was changed in so many days.")] = 7.0,
    keep: Annotated[
        list[Path], typer.Option(metavar="EXPERIMENT.yaml", help="Leave what this file needs; may be repeated.")
    ] = [],  # noqa: B006 - typer wants a list
    delete: Annotated[bool, typer.Option("--delete", help="Free it; otherwise it is only listed.")] = False,
) -> None:
    """Free stages that no record names or never finished, pools and kept features; without --delete only list them."""
    from rpe2d_bench.plan.cost import in_bytes
    from rpe2d_bench.storage import usage
    from rpe2d_bench.storage.store import Store

    place = Store(store)
    needed = usage.recorded(place) | _of_plans(keep, place)
    freed = 0
    for item, reason in usage.unneeded(list(usage.items(place)), needed, time.time() - days * DAY):
        if delete and not usage.free(item):
            continue
        freed += item.size
        typer.echo(f"{in_bytes(item.size):>10}  {place.relative(item.path)}: {reason}")
    typer.echo(f"{in_bytes(freed)} {'freed' if delete else 'would be freed; --delete frees it'}")


def _of_plans(files: list[Path], store: Any) -> set[tuple[str, str]]:
    """(stage, key) of everything that experiments need."""
    needed: set[tuple[str, str]] = set()
    for file in files:
        from rpe2d_bench.plan.expand import make_plan
        from rpe2d_bench.plan.precision import Precisions
        from rpe2d_bench.resolve.load import load

        resolved = load(file)
        plan = make_plan(resolved, (), Precisions(store, resolved.experiment.resources))
        for stage in [trial.stage for trial in plan.trials] + plan.measures():
            needed.add((stage.name, stage.key))
            needed |= {(source.name, source.key) for source in getattr(stage, "sources", ())}
    return needed
