"""What a command of the command line left behind, and what a refusal has to look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Output:
    """What a command left behind."""

    code: int
    out: str
    err: str


Bench = Callable[..., Output]


def refused(output: Output, expected: str) -> None:
    assert output.code == 2, output
    sentence = output.err.lstrip("\n")  # before rich 15 a progress bar that is wiped leaves an empty line
    assert sentence.startswith("error: "), output.err
    assert sentence.count("\n") == 1, output.err
    assert "Traceback" not in output.err + output.out
    assert expected in output.err
