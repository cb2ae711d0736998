"""Text that people read: what names and values of an experiment file may hold, and how anything else is shown."""

from __future__ import annotations

import unicodedata

# What text cannot hold: control characters, directions and joiners that do not show, halves of surrogate pairs, code
# points that nobody has assigned, and line separators that YAML and JSON count differently.
_UNPRINTABLE = {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}


def unprintable(text: str) -> str:
    """The first character that text of an experiment cannot have, in words; empty where all of it prints."""
    return next((named(c) for c in text if not _prints(c)), "")


def named(character: str | int) -> str:
    """A character in words: 'the control character U+0007'."""
    code = character if isinstance(character, int) else ord(character)
    kinds = {"Cc": "the control character", "Cs": "half of a surrogate pair,", "Cf": "the invisible character"}
    return f"{kinds.get(unicodedata.category(chr(code)), 'the character')} U+{code:04X}"


def printable(text: str) -> str:
    """A text in which what does not print is escaped; line ends stay."""
    return "".join(c if c == "\n" or _prints(c) else f"\\u{{{ord(c):X}}}" for c in text)


def _prints(character: str) -> bool:
    return unicodedata.category(character) not in _UNPRINTABLE


def shown(text: str) -> str:
    """A text for an error: escaped where it does not print, and cut where it is long."""
    return printable(text if len(text) <= 60 else text[:57] + "...").replace("\n", "\\n")
