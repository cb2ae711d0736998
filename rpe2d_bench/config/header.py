"""The question that an experiment file opens with: `# Question: ...`, up to the next `# Label:`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rpe2d_bench.config import shipped, yaml_file

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


def as_written(path: Path) -> dict[str, Any]:
    """What a file says, with the question of its comments, as records keep it."""
    asked = question(path)
    return yaml_file.read(path).data | ({"question": asked} if asked else {})


def question_of(experiment: str, written: Mapping[str, Any]) -> str | None:
    """As records keep it beside what the user wrote; for records from before that, of the shipped file of the name."""
    kept = written.get("question")
    if kept is not None:
        return str(kept)
    return question(shipped.FOLDER / f"{experiment}.yaml") if re.fullmatch(r"[\w-]+", experiment) else None


def labelled(path: Path) -> dict[str, str]:
    """'Question', 'Run', ... -> what the comment at the head of an experiment file says, each on one line."""
    found: dict[str, str] = {}
    last = "Question"
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        word, colon, rest = line.lstrip("# ").partition(":")
        if colon and word.istitle() and word.replace(" ", "").isalpha() and len(word) < 12:
            last, found[word] = word, rest.strip()
        else:
            found[last] = f"{found.get(last, '')} {line.lstrip('# ').strip()}".strip()
    return found
