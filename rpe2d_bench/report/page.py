"""One self-contained HTML page: no file beside it, no request to anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report.drawing import Drawing
from rpe2d_bench.report.plain import PlainTable
from rpe2d_bench.report.sheets import Strips
from rpe2d_bench.report.strips import Strip
from rpe2d_bench.report.tables import Table
from rpe2d_bench.storage.records import Resolution


@dataclass(frozen=True)
class Section:
    """What is shown about one train resolution."""

    train: Resolution
    tables: list[Table]
    curves: dict[str, Drawing]  # metric key -> figure
    strips: Strips
    real: dict[Resolution, Strip]
    plane: Drawing | None = None
    ramps: Drawing | None = None
    denoising: Drawing | None = None
    compute: Drawing | None = None
    needed: PlainTable | None = None  # compute at which one method is as good as another
    overview: dict[str, bytes] = field(default_factory=dict)  # the strips as a figure for papers: format -> content


def write_page(results: Results, store: Path, sections: list[Section], path: Path) -> None:
    """Render the template beside this file."""
    from rpe2d_bench.report.context import context
    from rpe2d_bench.report.templating import environment

    template = environment().get_template("page.html.j2")
    path.write_text(template.render(context(results, store, sections)), encoding="utf-8")
