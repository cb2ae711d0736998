"""What a command of the command line left behind, and what a refusal has to look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


Bench = Callable[..., Said]


def refused(said: Said, expected: str) -> None:
    assert said.code == 2, said
    sentence = said.err.lstrip("\n")  # before rich 15 a progress bar that is wiped leaves an empty line
    assert sentence.startswith("error: "), said.err
    assert sentence.count("\n") == 1, said.err
    assert "Traceback" not in said.err + said.out
    assert expected in said.err
