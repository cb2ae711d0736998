"""The field's words in every name: images, samples, callbacks, classifier, RunContext."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS_ALONE = {"picture", "pictures", "surroundings", "announced", "ledger", "said", "heard", "told", "whom"}
# Options of experiment files from before (their new names are taken beside them); one of the glyphs enters keys
KEPT = {"num_pictures", "train_pictures"}


def parts(identifier: str) -> set[str]:
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", identifier)}


def identifiers(path: Path) -> set[str]:
    with tokenize.open(path) as file:
        return {token.string for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.NAME}


def test_an_identifier_is_split_at_underscores_and_capitals() -> None:
    assert parts("_PicturesOf_said2") >= {"pictures", "of"}
    assert parts("make_pictures") == {"make", "pictures"}


def test_names_are_the_fields() -> None:
    files = [path for folder in ("rpe2d_bench", "baselines", "tests", "benchmarks", "scripts")
             for path in sorted((ROOT / folder).rglob("*.py"))]  # fmt: skip
    assert len(files) > 300
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in identifiers(path) - KEPT
        if parts(name) & OURS_ALONE
    }
    assert not found
