"""The command line: files configure, commands select. The only importer of typer.

Everything heavy is imported inside a command, so that help and mistakes answer at once.
"""

from __future__ import annotations

import atexit
import errno
import gc
import os

import typer

from rpe2d_bench.cli import (  # noqa: F401 - commands register themselves
    check,
    compare_encodings,
    export,
    inspect,
    ls,
    measure,
    new,
    plan,
    report,
    run,
    sample,
    show,
    status,
    store,
    sync,
    ui,
    validate,
    verify,
    work,
)
from rpe2d_bench.cli.application import app
from rpe2d_bench.cli.console import survive_narrow_encodings
from rpe2d_bench.config.printable import printable
from rpe2d_bench.errors import UserError

__all__ = ["app", "main"]
FULL = (errno.ENOSPC, errno.EDQUOT)  # found while writing, when the file has no name any more
STOPPED = 130  # the exit code into which typer turns Ctrl-C


def main() -> None:
    """Run a command; what the user can mend is one sentence and exit code 2."""
    for name, value in {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}.items():
        os.environ.setdefault(name, value)
    survive_narrow_encodings()
    atexit.register(gc.freeze)  # Python would look through all of torch's and matplotlib's objects before it ends: 2 s
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {printable(str(error))}", err=True)
        raise SystemExit(2) from None
    except OSError as error:  # what was to be written cannot be; the store's own failures are sentences already
        if error.errno is None or (error.filename is None and error.errno not in FULL):
            raise
        where, reason = error.filename or "a file could not be written", os.strerror(error.errno)
        typer.echo(f"error: {where}: {reason}; choose another with --store, --reports or --out", err=True)
        raise SystemExit(2) from None
    except SystemExit as ended:
        if ended.code == STOPPED:
            typer.echo("stopped; the same command continues where this one ended", err=True)
        raise
