"""What a section of a report is made of: blocks that a page, a Markdown file and a terminal render alike.

A section is one function, `build(results, store) -> Content`; which there are and in which order says
`sections/__init__.py`. Packages add their own through the entry point `rpe2d_bench.report_sections`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report.drawing import Drawing
from rpe2d_bench.report.images import Strips
from rpe2d_bench.report.table import Table


@dataclass(frozen=True)
class Text:
    """A paragraph, or a list of points. Everything in it is text: no markup, on no surface."""

    words: str | tuple[str, ...]
    kind: str = "plain"  # plain, lead, heading, quiet, missing (what is absent), caution, code


@dataclass(frozen=True)
class Content:
    """A titled sequence of blocks; without blocks it is shown nowhere. A Content among the blocks is folded."""

    title: str
    blocks: tuple[Block, ...]
    printed: bool = False  # part of the abridged print; only a section's own value counts

    def walk(self) -> Iterator[Text | Table | Drawing | Strips]:
        """Every block, also those that are folded."""
        for block in self.blocks:
            if isinstance(block, Content):
                yield from block.walk()
            else:
                yield block


Block = Text | Table | Drawing | Strips | Content
Section = Callable[[Results, Path], Content]  # the results of a run, the store with its curves and images
