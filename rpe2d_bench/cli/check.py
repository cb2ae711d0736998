"""The command `check`: the conformance suite on an encoding or a rule."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rpe2d_bench.cli.application import app


@app.command()
def check(
    target: Annotated[str, typer.Argument(metavar="NAME | MODULE:CLASS", help="An entry of `ls`, or your own class.")],
) -> None:
    """Run the conformance suite on an encoding, a rule of positions, frequencies or logit scale."""
    from rpe2d_bench.cli.showing import check_method

    if ":" in target:
        sys.path.insert(0, "")  # a class that is being written lies in no installed package yet
    if not check_method(target):
        raise SystemExit(1)
