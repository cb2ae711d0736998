"""What is said of an experiment file with one thing in it written otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpe2d_bench.errors import UserError
from rpe2d_bench.resolve.load import load_experiment


def refused(file: Path, written: str, instead: str) -> tuple[str, int]:
    """One sentence that starts with the file and a line, and that line."""
    text = file.read_text()
    assert written in text
    file.write_text(text.replace(written, instead, 1))
    with pytest.raises(UserError) as raised:
        load_experiment(file)
    message = str(raised.value)
    assert message.startswith(f"{file}:"), message
    assert "\n" not in message
    place = message.removeprefix(f"{file}:").partition(":")[0]
    assert place.isdigit(), message
    return message, int(place)
