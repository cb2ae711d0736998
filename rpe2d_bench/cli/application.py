"""The command line's application and the options that its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.storage.folder import copies_in, folder_of_store
from rpe2d_bench.storage.unwritable import require_file, require_folder

app = typer.Typer(
    help="Which positional encoding lets a diffusion transformer generate at resolutions it never trained on?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _find(written: Path) -> Path:
    from rpe2d_bench.config import shipped

    return shipped.find(written)


ExperimentFile = Annotated[
    Path, typer.Argument(metavar="EXPERIMENT", help="A file, or the name of a shipped experiment.", callback=_find)
]


def note_replaced(overrides: list[str]) -> list[str]:
    """Says where one of them leaves nothing of an earlier one, as scripts that add their own to others' have it."""
    for number, later in enumerate(overrides):
        key = later.partition("=")[0]
        for earlier in overrides[:number]:
            if f"{earlier.partition('=')[0]}.".startswith(f"{key}."):
                typer.echo(f"note: --set {later} replaces --set {earlier}", err=True)
    return overrides


Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PATH.TO.KEY=VALUE",
        help="Override a value of the file; VALUE is YAML.",
        callback=note_replaced,
    ),
]
Only = Annotated[list[str], typer.Option("--only", metavar="METHOD", help="Keep this method; may be repeated.")]


def opened(context: typer.Context, folder: Path) -> Path:
    """A store elsewhere: what others told is brought, and what this command has to tell goes when it ends."""
    if copies_in(folder) is not None:
        from rpe2d_bench.storage.exchange import bring, send
        from rpe2d_bench.storage.store import Store

        bring(store := Store(folder))
        context.call_on_close(lambda: send(store))
    return folder


WHERE = "Where results live: a folder, or an address such as s3://bucket/runs."
StoreFolder = Annotated[
    Path, typer.Option("--store", metavar="DIR", help=WHERE, parser=folder_of_store, callback=opened)
]
StoreArgument = Annotated[Path, typer.Argument(metavar="[STORE]", help=WHERE, parser=folder_of_store, callback=opened)]


def to_write(option: typer.CallbackParam, file: Path | None) -> Path | None:
    """A file that a command writes at its end: what is in its way is said before anything is computed."""
    if file is not None:
        require_file(file, option.opts[0])
    return file


def _to_fill(option: typer.CallbackParam, folder: Path) -> Path:
    require_folder(folder, option.opts[0])
    return folder


ReportsFolder = Annotated[
    Path, typer.Option("--reports", metavar="DIR", help="Where the report is written.", callback=_to_fill)
]
DEFAULT_REPORTS = Path("reports")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
DEFAULT_STORE = Path("runs")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"rpe2d-bench {version('rpe2d-bench')}")
        raise typer.Exit


@app.callback()
def before_any_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Which positional encoding lets a diffusion transformer generate at resolutions it never trained on?"""
