"""The command `status`: how far the runs of a store are, from another terminal."""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.cli.application import DEFAULT_STORE, StoreArgument, app
from rpe2d_bench.errors import UserError


@app.command()
def status(
    store: StoreArgument = DEFAULT_STORE,
) -> None:
    """Show how far the runs of a store are, from another terminal."""
    _show(store)


def _show(folder: Path) -> None:
    """Print what each run that goes on shows in its own terminal, and what a run that was killed had reached."""
    from rpe2d_bench.cli.console import open_console, put_line
    from rpe2d_bench.cli.view import View, duration
    from rpe2d_bench.storage import progress
    from rpe2d_bench.storage.folder import name_of
    from rpe2d_bench.storage.store import Store

    if not folder.is_dir():
        raise UserError(f"there is no store at {folder}; name its folder, or run an experiment first")
    console = open_console()
    found = [(alive, View.of(view)) for _, alive, view in progress.runs(Store(folder))]
    for alive, view in found:
        if alive:
            console.print(view.name, highlight=False, markup=False, style="bold")
            console.print(view)
    if any(alive for alive, _ in found):
        return
    put_line(console, f"nothing runs in {name_of(folder)}")
    for _, view in found:
        console.print(
            f"{view.name} ended without a word after {duration(view.elapsed)}, with {view.counted}; "
            "the same command continues",
            highlight=False,
            markup=False,
        )
