"""The emoji that travel with the package: their vectors, categories and origins, packed by scripts/pack_emoji.py."""

from __future__ import annotations

import hashlib
import json
import lzma
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKED = Path(__file__).with_name("emoji.json.xz")
LICENCES = Path(__file__).with_name("LICENCES.txt")


class Emoji(NamedTuple):
    """One drawing of one set."""

    set: str
    name: str  # the same in every set
    group: str  # what differs from it by colour, direction or hour only: on one side of the split
    category: str
    width: float  # of the view box, which starts at (0, 0)
    height: float
    body: str  # SVG, without the outer element


class Source(NamedTuple):
    """Where a set comes from."""

    set: str
    package: str
    author: str
    origin: str
    licence: str
    emoji: int
    left_out: dict[str, int]  # number by reason


@dataclass(frozen=True)
class Packed:
    """What the packed file holds."""

    sources: tuple[Source, ...]
    emoji: tuple[Emoji, ...]
    digest: str  # of the file


@cache
def packed() -> Packed:
    """The content of the packed file, read once a process (half a second, 30 MB)."""
    content = PACKED.read_bytes()
    read = json.loads(lzma.decompress(content))
    return Packed(
        tuple(Source(**source) for source in read["sources"]),
        tuple(Emoji(*row) for row in read["emoji"]),
        hashlib.sha256(content).hexdigest(),
    )
