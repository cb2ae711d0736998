"""The question that an experiment file opens with: `# Question: ...`, up to the next `# Label:`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parents[2] / "experiments"
_QUESTION = re.compile(r"^# Question:(.*\n(?:#(?! ?\w+(?: \w+)?:).*\n)*)", re.MULTILINE)


def question(path: Path) -> str | None:
    """The question of a file, on one line and to its question mark; None where its comments ask none."""
    try:
        match = _QUESTION.search(path.read_text(encoding="utf-8") + "\n")
    except (OSError, UnicodeDecodeError):
        return None
    if match is None:
        return None
    asked = " ".join(match.group(1).replace("\n#", " ").split()).partition("?")[0] + "?"
    return asked[0].upper() + asked[1:]


def question_of(experiment: str, written: Mapping[str, Any]) -> str | None:
    """As records keep it beside what the user wrote; for records from before that, of the shipped file of the name."""
    kept = written.get("question")
    if kept is not None:
        return str(kept)
    return question(SHIPPED / f"{experiment}.yaml") if re.fullmatch(r"[\w-]+", experiment) else None
