"""Records -> tables, figures and one HTML page. The only importer of pandas and matplotlib.

For sections of one's own (sections/__init__.py): Content of the blocks Text, Table, Drawing and Strips.
"""

from __future__ import annotations

import functools
import importlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.storage.records import Record

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group

    from rpe2d_bench.analysis.results import Results

_BLOCKS = {"Content": "content", "Text": "content", "Table": "table", "plain": "table", "Drawing": "drawing",
           "drawing": "drawing", "Strips": "images"}  # fmt: skip
__all__ = ["Content", "Drawing", "Strips", "Table", "Text", "description", "drawing", "load_frame", "plain", "preload",
           "render", "render_comparison", "terminal_table"]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The blocks, imported when asked for: matplotlib and pandas take seconds."""
    if name not in _BLOCKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_BLOCKS[name]}"), name)


@functools.cache
def preload() -> None:
    """Import in the background what `render` needs: seconds that a run spends waiting for its workers anyway."""
    threading.Thread(target=importlib.import_module, args=("rpe2d_bench.report.folder",), daemon=True).start()


def render(
    records: list[Record] | Results, store: Path, out: Path, comparisons: list[dict[str, Any]] | None = None
) -> Path:
    """Write the report of one run into the folder `out` and return the path of its index.html.

    A run may be partial: what is absent or failed is shown as such. Artifacts are read below `store`.
    `comparisons`: what rpe2d_bench.analysis.significance.separate found: the floor's intervals, and one seed's.
    Results, which hold both, may stand for records: what was worked out of them is not worked out again.
    """
    from rpe2d_bench.report.folder import write_report

    return write_report(records, store, out, comparisons)


def render_comparison(
    first: list[Record],
    second: list[Record],
    first_store: Path,
    second_store: Path,
    out: Path,
) -> Path:
    """Write the comparison of two runs (second against first) into the folder `out`; returns its index.html.

    Numbers come from the records, images from the stores where they are still there.
    """
    from rpe2d_bench.report.two_runs.page import write_comparison

    return write_comparison(first, second, out, (first_store, second_store))


def terminal_table(records: list[Record] | Results, comparisons: list[dict[str, Any]] | None = None) -> Group:
    """The head of a report and the main metric, as something rich can print; else as `render`."""
    from rpe2d_bench.report.terminal import terminal_table as table

    return table(records, comparisons)


def description(records: list[Record], comparisons: list[dict[str, Any]] | None = None) -> str:
    """The head of a report as Markdown without images, for MLflow; else as `render`."""
    from rpe2d_bench.analysis.results import Results
    from rpe2d_bench.report.formats import content_markdown
    from rpe2d_bench.report.sections.head import head_of

    return content_markdown(head_of(Results(records, list(comparisons or []))).words, level=0)


def load_frame(records: list[Record]) -> pd.DataFrame:
    """A tidy frame with the published columns (analysis.frame.COLUMNS): one row per record and metric."""
    from rpe2d_bench.analysis.frame import load_frame as load

    return load(records)
