"""What documents contain: code blocks, commands and links. Read by the tests of README.md and docs/."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and text, and the file that its first line names, if it names one."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        first = self.text.partition("\n")[0]
        found = re.fullmatch(r"# (\S+\.(?:py|yaml|toml))", first)
        return found[1] if found else None


def blocks(document: Path, *languages: str) -> list[Block]:
    """Fenced blocks in order, those of the languages alone where some are given."""
    found = [Block(*match) for match in FENCE.findall(document.read_text())]
    return [block for block in found if not languages or block.language in languages]


def shell_lines(document: Path) -> list[str]:
    """Commands of the sh blocks, without comments."""
    lines = [line for block in blocks(document, "sh") for line in block.text.splitlines()]
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def words(line: str) -> list[str]:
    """A shell line as words; variables set in front of a command are left out."""
    parts = shlex.split(line, comments=True)
    while parts and re.fullmatch(r"[A-Z_]+=.*", parts[0]):
        parts = parts[1:]
    return parts


def bench_commands(document: Path) -> Iterator[list[str]]:
    """Arguments of every rpe2d-bench command in sh blocks, in comments of YAML, and in the text."""
    text = document.read_text()
    prose = FENCE.sub("", text)
    lines = shell_lines(document) + [" ".join(code.split()) for code in INLINE.findall(re.sub(r"\n(?!\n)", " ", prose))]
    if document.suffix == ".yaml":
        lines = [line.partition("rpe2d-bench")[2] for line in text.splitlines() if line.startswith("#")]
        lines = [f"rpe2d-bench {line.partition('  ')[0]}" for line in lines if line]
    for line in lines:
        if not re.match(r"(\S*/)?(rpe2d-bench|[A-Z_]+=)", line):
            continue
        parts = words(line)
        if parts and parts[0].rpartition("/")[2] == "rpe2d-bench" and len(parts) > 1:
            yield parts[1:]


def links(document: Path) -> list[str]:
    """Relative targets of links and images, without anchors."""
    text = FENCE.sub("", document.read_text())
    targets = [target.partition("#")[0] for target in LINK.findall(text)]
    return [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_files(document: Path) -> list[str]:
    """Paths in code style that can only be files of this repository: no placeholders, nothing a run makes."""
    prose = FENCE.sub("", document.read_text())
    found = []
    for code in INLINE.findall(prose):
        for word in code.split():
            path = word.partition("@")[0]
            known = re.fullmatch(
                r"(rpe2d_bench|baselines|experiments|tests|docs|benchmarks)/[\w./-]*\.(py|md|yaml|json|csv|ipynb)", path
            )
            if known and not re.search(r"[A-Z]{3,}(?!\.md)", path):
                found.append(path)
    return found
