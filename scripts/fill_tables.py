"""Fill the tables of documents from the records of reports: python scripts/fill_tables.py [--check] FILE.md ...

A table stands between two comments; what is between them is replaced:

    <!-- table reports/NAME metric=kid_glyphnet [train=32] [tests=32,48] [methods=a,b] [with=...] [times=1000] -->
    <!-- end of table -->

`train=` and `tests=` are pixels (32, or 32x64 with the height first). A cell is the mean ± the standard deviation over
seeds, with the report's marks: bold for the best mean of a column that is ranked, ≈ for what is not separated from it,
† for the undertrained. `with=accuracy_glyphjudge` puts a second metric, a share, behind it, `times=` multiplies the
first. --check changes nothing and fails where a table is not what its records say.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import Estimate
from rpe2d_bench.analysis.vocabulary import Quantity, describe
from rpe2d_bench.report.table import TIED_MARK, UNDERTRAINED_MARK
from rpe2d_bench.resolution import Resolution, Size
from rpe2d_bench.storage.records import latest_run, read

TABLE = re.compile(r"(<!-- table (?P<source>\S+) (?P<options>[^>]*?) *-->\n).*?(<!-- end of table -->)", re.DOTALL)


def table(source: Path, metric: str, train: str = "", tests: str = "", methods: str = "", **further: str) -> str:
    """The table in Markdown, floor last."""
    found = read(source / "records.jsonl")
    run = latest_run(found)
    results = Results([record for record in found if record.run == run], [])
    shown, factor = describe(metric), float(further.get("times", 1))
    small = Resolution.parse(train) if train else next(iter(results.resolutions))
    every = sorted(results.resolutions[small], key=lambda test: (test[0] != test[1], test))
    columns = [Resolution.parse(test) for test in tests.split(",")] if tests else [Resolution(*test) for test in every]
    names = methods.split(",") if methods else list(results.methods)
    lines = [" | ".join(["| method", *(f"{column} px" for column in columns)]) + " |"]
    lines.append("| --- |" + " --- |" * len(columns))
    for name in names:
        cells = [_cell(results, name, (small, test), shown, factor, further.get("with")) for test in columns]
        mark = f" {UNDERTRAINED_MARK}" if results.is_undertrained(name, small) else ""
        lines.append(" | ".join([f"| {name}{mark}", *cells]) + " |")
    floors = [results.real.floor(small, test, shown) for test in columns]
    if all(floors):
        real = [number(floor, factor / shown.factor) for floor in floors if floor]
        lines.append(" | ".join(["| real against real", *real]) + " |")
    cells_of = [r for r in results.of_methods if metric in r.metrics and r.train_resolution == small]
    seeds, counts = sorted({r.seed for r in cells_of}), sorted({r.num_samples for r in cells_of})
    commits = ", ".join(sorted({str(r.provenance.commit)[:7] for r in cells_of}))
    label = metric if factor == 1 else f"{metric} × {factor:g}"
    lines.append(
        f"\n{label}, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}, {'/'.join(map(str, counts))} images a "
        f"cell; commit {commits}; records: `{source.as_posix()}/records.jsonl` (experiment {source.name}).\n"
    )
    return "\n".join(lines)


def _cell(
    results: Results,
    method: str,
    where: tuple[Size, Resolution],
    metric: Quantity,
    factor: float,
    behind: str | None,
) -> str:
    value = _estimate(results, method, where, metric)
    words, best = number(value, factor / metric.factor), results.best(*where, metric)
    if behind:
        share = _estimate(results, method, where, describe(behind))
        words += f", {share.mean:.0f} %"
    if method in best:
        return f"**{words}**"
    gap = results.difference(method, best[0], *where, metric) if best else None
    return f"{words} {TIED_MARK}" if gap is not None and gap.low is not None and not gap.separated else words


def _estimate(results: Results, method: str, where: tuple[Size, Resolution], metric: Quantity) -> Estimate:
    found = results.estimate(method, *where, metric)
    if found is None:
        raise SystemExit(f"no {metric.key} of {method!r} at {where[1]} px")
    return found


def number(value: Estimate, factor: float) -> str:
    """'0.55 ± 0.02', in units of what was recorded times the table's factor."""
    mean = value.mean * factor
    places = 1 if abs(mean) >= 20 else 2 if abs(mean) >= 0.095 else 3
    return f"{mean:.{places}f}" + (f" ± {value.spread * factor:.{min(places, 2)}f}" if value.n > 1 else "")


def filled(text: str) -> str:
    """The document with its tables made again."""

    def again(match: re.Match[str]) -> str:
        options = dict(part.split("=", 1) for part in match["options"].split())
        return match[1] + table(Path(match["source"]), **options) + match[4]

    return TABLE.sub(again, text)


def main(arguments: list[str]) -> None:
    check = "--check" in arguments
    for name in arguments:
        if name.startswith("--"):
            continue
        path = Path(name)
        text = path.read_text()
        made = filled(text)
        if made != text and check:
            raise SystemExit(f"{name}: a table is not what its records say; run python scripts/fill_tables.py {name}")
        path.write_text(made)


if __name__ == "__main__":
    main(sys.argv[1:])
