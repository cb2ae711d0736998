"""The page that compares two runs."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from rpe2d_bench.analysis.palette import styles, styles_of
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import Quantity, legend_label, scale_label, size_label
from rpe2d_bench.report.chosen_images import classifier_of, rows_of
from rpe2d_bench.report.content import Block, Content, Text
from rpe2d_bench.report.drawing import Drawing, drawing
from rpe2d_bench.report.figures import metric_curve, paper_style
from rpe2d_bench.report.folder import replace_folder, save_files
from rpe2d_bench.report.images import StripRow, Strips
from rpe2d_bench.report.page import render
from rpe2d_bench.report.table import difference_cell, plain
from rpe2d_bench.report.tables import at
from rpe2d_bench.report.two_runs.changes import Changes
from rpe2d_bench.report.values import put_value
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.records import Record


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
    sections = {
        "answer": _answer(changes),
        "changed": _changed(changes),
        "results": _results(changes),
        "samples": _samples(changes, stores),
    }
    series = {method: style.index for method, style in styles(order).items()}
    title = f"{changes.names[1]} against {changes.names[0]}"

    def write(fresh: Path) -> None:
        save_files(sections.values(), fresh)
        render(fresh / "index.html", "comparison", title, sections, series)

    replace_folder(Path(out), write)
    return Path(out) / "index.html"


def _answer(changes: Changes) -> Content:
    cautions = (Text(tuple(changes.cautions), "caution"),) if changes.cautions else ()
    return Content("The answer", (*(Text(words, "lead") for words in changes.sentences), *cautions), printed=True)


def _changed(changes: Changes) -> Content:
    rows = [(change.what, change.first, change.second) for change in changes.settings]
    head = ("setting", *changes.names)
    digests = f"Records: sha256 {changes.first.digest[:16]} and {changes.second.digest[:16]}."
    return Content("What was changed", (
        plain("settings", "Settings, code and packages that differ", head, rows) if rows else
        Text("Nothing: same settings, same code, same machine."),
        Text(digests, "quiet"),
    ), printed=True)  # fmt: skip


def _results(changes: Changes) -> Content:
    """The main metric's table and figure in the open; each run's own curve and the other metrics folded."""
    blocks: list[Block] = []
    main = changes.metrics[0]
    for train in changes.resolutions:
        if len(changes.resolutions) > 1:
            blocks.append(Text(f"Trained at {size_label(train)} px", "heading"))
        tables = [changes.table(metric, train) for metric in changes.metrics]
        both = [changes.beside(metric, train) for metric in changes.metrics]
        blocks += [tables[0], change_figure(changes, main, train)]
        runs = zip((changes.first, changes.second), changes.names, ("first", "second"), strict=True)
        for results, name, which in runs:
            own = drawing(
                metric_curve(results, main, train),
                f"{main.key}_{at(train)}_{which}",
                f"{main.label} in {name}",
                f"{main.label} over test resolution in {name}.",
                "As in its own report.",
                ("svg", "png"),
            )
            blocks.append(Content(own.title, (own,)))
        blocks += [Content(table.title, (table,)) for table in (both[0], *tables[1:], *both[1:])]
    return Content("Results", tuple(blocks), printed=True)


def _samples(changes: Changes, stores: tuple[Path, Path] | None) -> Content:
    """The images of both runs, method by method."""
    blocks: list[Block] = []
    for train, tests in changes.resolutions.items() if stores else ():
        assert stores is not None
        runs = zip((changes.first, changes.second), stores, changes.names, strict=True)
        found = {
            (row.method, name): StripRow(row.name, row.strips, row.method, name)
            for results, store, name in runs
            for row in rows_of(results, store, train, tests)
        }
        rows = [found[key] for key in ((m, name) for m in changes.methods for name in changes.names) if key in found]
        shown = [test for test in tests if any(test in row.strips for row in rows)]
        if not shown:
            continue
        strips = Strips(f"samples_{at(train)}", train, shown, rows, classifier=classifier_of(changes.second))
        classes = ", ".join(map(str, strips.labels))
        blocks += [
            Text(f"Trained at {size_label(train)} px. Both runs, method by method, of the same classes (classes"
                 f" {classes}) and, as both number their noise alike, from the same noise where the seed is the same."
                 " One pixel is as large at every size. The images are the first of each class, not chosen."),
            strips,
        ]  # fmt: skip
    absent = "No sample images were found below the stores; the numbers do not depend on them."
    return Content("Samples", tuple(blocks) or (Text(absent, "missing"),))


def change_figure(changes: Changes, metric: Quantity, train: Size) -> Drawing:
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
            for x, found in shown.items():
                words = difference_cell(found, "", significant=False).text
                where = size_label(tests[round(x - shift)])
                put_value(axes, x, found.mean, f"{method}, {where} px: {words}", style.index)
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
        f"{metric.key}_{at(train)}_change",
        f"Change of {metric.label}",
        f"{metric.label} of {changes.names[1]} against {changes.names[0]} for {len(changes.methods)} methods.",
        f"{metric.label}: second run against first ({metric.scale}). Bars: 95 % interval over the shared seeds;"
        " no bar: one shared seed.",
    )
