"""The experiments that come with the package, by name: of the repository, or as a wheel holds them."""

from __future__ import annotations

import re
from pathlib import Path

from rpe2d_bench.errors import UserError, unknown

_PACKAGE = Path(__file__).parents[1]
FOLDER = next(filter(Path.is_dir, (_PACKAGE / "experiments", _PACKAGE.parent / "experiments")), _PACKAGE)


def names() -> list[str]:
    """Of every shipped experiment."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(written: Path) -> Path:
    """The file that is meant: one that is there, else the shipped experiment of that name.

    Raises UserError for a bare name that is neither; a path that leads nowhere is its reader's to complain about.
    """
    if written.exists() or written.suffix or len(written.parts) != 1:
        return written
    if str(written) not in names():
        raise unknown("experiment", str(written), names())
    return FOLDER / f"{written}.yaml"


def copied(source: Path, target: Path) -> str:
    """The text of an experiment under the name of another file, without what was measured or promised for the first.

    The question stays, and everything below the head. Raises UserError where the target's name cannot be one.
    """
    if not re.fullmatch(r"[\w-]+\.yaml", target.name):
        raise UserError(f"{target}: write a file NAME.yaml, of letters, digits, _ and -")
    head, version, body = source.read_text(encoding="utf-8").partition("schema_version:")
    asked = re.match(r"# Question:.*\n(?:#(?! ?\w+(?: \w+)?:).*\n)*", head)
    renamed = re.sub(r"^name: .*$", f"name: {target.stem}", body, count=1, flags=re.MULTILINE)
    opening = f"{asked[0] if asked else ''}# Run:      rpe2d-bench run {target}\n# From:     {source.stem}\n"
    return f"{opening}{version}{renamed}"
