"""The page that compares two runs."""

from __future__ import annotations

import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import Metric, legend_label, scale_label, size_label
from rpe2d_bench.report import formats
from rpe2d_bench.report.changes import Changes
from rpe2d_bench.report.context import files_of_table
from rpe2d_bench.report.drawing import Drawing, drawing
from rpe2d_bench.report.figures import metric_curve, paper_style
from rpe2d_bench.report.palette import COLOURS, styles, styles_of
from rpe2d_bench.report.plain import PlainTable
from rpe2d_bench.report.strip_view import of_two
from rpe2d_bench.report.strips import strips
from rpe2d_bench.report.templating import environment
from rpe2d_bench.storage.records import Record, Resolution


def write_comparison(
    first: list[Record],
    second: list[Record],
    out: Path,
    stores: tuple[Path, Path] | None = None,
) -> Path:
    """Write index.html, the tables and the figures into `out`; an older comparison there is replaced.

    `stores`: where the images of the two runs lie.
    """
    order = tuple(dict.fromkeys([*Results(first).methods, *Results(second).methods]))
    changes = Changes(Results(first, order=order), Results(second, order=order))
    metric = changes.metrics[0]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    sections = []
    for train in changes.resolutions:
        drawings = [change_figure(changes, metric, train)]
        for results, name, which in zip(
            (changes.first, changes.second), changes.names, ("first", "second"), strict=True
        ):
            drawings.append(
                drawing(
                    metric_curve(results, metric, train),
                    f"{metric.key}_train_{size_label(train).replace('×', 'x')}_{which}",
                    f"{metric.label} in {name}",
                    f"{metric.label} over test resolution in {name}.",
                    "As in its own report.",
                    ("svg", "png"),
                )
            )
        tables = [changes.table(each, train) for each in changes.metrics]
        tables[1:1] = [changes.beside(metric, train)]
        tables += [changes.beside(each, train) for each in changes.metrics[1:]]
        for table in tables:
            (fresh / "tables").mkdir(exist_ok=True)
            (fresh / "tables" / f"{table.name}.csv").write_text(formats.csv_text(table))
            (fresh / "tables" / f"{table.name}.tex").write_text(formats.latex(table))
            (fresh / "tables" / f"{table.name}.md").write_text(formats.markdown(table))
        drawings[0].save(fresh / "figures")
        sections.append(
            {
                "train": size_label(train),
                "figures": drawings,
                "tables": tables,
                "strips": _strips(changes, train, stores) if stores else None,
            }
        )
    page = environment().get_template("versus.html.j2")
    look = styles(order)
    (fresh / "index.html").write_text(
        page.render(
            changes=changes,
            names=changes.names,
            settings=_settings(changes),
            sections=sections,
            series={name: style.index for name, style in look.items()},
            colours=COLOURS,
            files=files_of_table,
            version=metadata.version("rpe2d-bench"),
            title=f"{changes.names[1]} against {changes.names[0]}",
        ),
        encoding="utf-8",
    )
    fresh.chmod(0o755)
    if out.exists():
        shutil.rmtree(out)
    fresh.rename(out)
    return out / "index.html"


def _settings(changes: Changes) -> PlainTable:
    rows: list[tuple[str, ...]] = [(change.what, change.first, change.second) for change in changes.settings]
    return PlainTable("settings", "Settings, code and packages that differ", ("setting", *changes.names), rows)


def _strips(changes: Changes, train: Resolution, stores: tuple[Path, Path]) -> dict[str, Any] | None:
    """The images of both runs, method by method."""
    both = (strips(changes.first, stores[0], train), strips(changes.second, stores[1], train))
    look = {method: styles_of(changes.first)[method].index for method in changes.methods}
    return of_two(changes.names, look, train, changes.resolutions[train], both)


def change_figure(changes: Changes, metric: Metric, train: Resolution) -> Drawing:
    """second against first over test resolution: one row of points per size, no change as a line."""
    tests = changes.resolutions[train]
    look = {method: styles_of(changes.first)[method] for method in changes.methods}
    with paper_style():
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        for number, (method, style) in enumerate(look.items()):
            shift = 0.7 * ((number + 0.5) / len(look) - 0.5)
            shown = {i + shift: gap.shown for i, test in enumerate(tests)
                     if (gap := changes.gap(method, train, test, metric))}  # fmt: skip
            (drawn,) = axes.plot(list(shown), [found.mean for found in shown.values()], linestyle="none",
                                 color=style.colour, marker=style.marker, label=legend_label(method))  # fmt: skip
            drawn.set_gid(f"series-{style.index}-change")
            ends = [(x, found.low, found.high) for x, found in shown.items() if found.low is not None]
            if ends:
                bars = axes.vlines(*zip(*ends, strict=True), color=style.colour, linewidth=1.0)
                bars.set_gid(f"series-{style.index}-changebars")
        axes.axhline(0 if metric.scale == "difference" else 1, color="#808080", linewidth=0.8)
        axes.set_xticks(range(len(tests)), [f"{size_label(test)}\n{scale_label(test, train)}" for test in tests])
        axes.set_xlabel("test resolution (pixels, scale)")
        axes.set_ylabel(f"{metric.scale} of {metric.label}")
        axes.grid(axis="x", visible=False)
        figure.legend(loc="outside right center")
    return drawing(
        figure,
        f"{metric.key}_train_{size_label(train).replace('×', 'x')}_change",
        f"Change of {metric.label}",
        f"{metric.label} of {changes.names[1]} against {changes.names[0]} for {len(changes.methods)} methods.",
        f"{metric.label}: second run against first ({metric.scale}). Bars: 95 % interval over the shared seeds;"
        " no bar: one shared seed.",
    )
