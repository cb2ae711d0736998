"""Where a method comes from, kept next to its code; baselines/README.md is generated from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """paper: title or arXiv number, with the equation. code: repository@commit and file, empty if none is public.

    differs: what is not as in the paper or in that code. clamp: what the rule does below the train grid. trained:
    whether weights must be trained with it; encodings and biases always are. aliases: what else people call it.
    """

    paper: str
    code: str = ""
    differs: str = ""
    clamp: str = ""
    trained: bool = False
    aliases: tuple[str, ...] = ()
