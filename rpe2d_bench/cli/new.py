"""The command `new`: an experiment file of one's own, from one that comes with the package."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import app
from rpe2d_bench.errors import UserError


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The file to write.")],
    source: Annotated[
        Path, typer.Option("--from", metavar="NAME", help="A shipped experiment, or a file.", show_default=True)
    ] = Path("quick"),
) -> None:
    """Write an experiment file of one's own, from one that comes with the package."""
    from rpe2d_bench.config import shipped, yaml_file

    original = shipped.find(source)
    yaml_file.read(original)  # a file that is none is complained about by its reader
    text = shipped.copied(original, file)
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise UserError(f"{file}: is there already; choose another name") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            file.unlink(missing_ok=True)  # empty, it would be in the way of the next try
        raise UserError(f"{file} cannot be written: {error.strerror}; choose another place") from None
    typer.echo(f"{file}: {original.stem} under a name of its own\nnext: rpe2d-bench plan {file}")
