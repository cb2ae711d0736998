"""The terminal or log that a command writes to, and its first lines: light, so that nothing is silent at the start."""

from __future__ import annotations

import codecs
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 140  # columns of a log
PLAIN = {"×": "x", "±": "+-", "≈": "~", "†": "+", "−": "-", "–": "-", "·": ".", "∞": "inf", "↓": "(lower is better)",
         "↑": "(higher is better)", "é": "e", "…": "...", "─": "-", "━": "-", "╸": "-", "╺": "-"}  # fmt: skip


def survive_narrow_encodings() -> None:
    """Characters that a terminal's encoding lacks are written as plain ones instead of ending the command."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


def open_console() -> Console:
    """The terminal, or lines wide enough for a table where there is none."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


def put_line(console: Console, text: str, style: str | None = None) -> None:
    """A line as it is: nothing in it is markup, numbers have no colours, and it is not cut to the width."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


class Opening:
    """Context manager: what a command does before its work begins; in a log a line each, on a terminal one.

    `began` is when the command was started, as far as this process knows: time.time().
    """

    def __init__(self, console: Console) -> None:
        self.console, self.began = console, time.time()
        self._status = console.status("") if console.is_terminal else None

    def __enter__(self) -> Opening:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *ended: object) -> None:
        if self._status:
            self._status.stop()

    def phase(self, text: str) -> None:
        """What comes now."""
        if self._status:
            self._status.update(text)
        else:
            put_line(self.console, f"{text} ...")
            self.console.file.flush()
