"""Fill the tables of documents from the records of reports: python scripts/fill_tables.py [--check] FILE.md ...

A table stands between two comments; what is between them is replaced:

    <!-- table reports/NAME metric=kid_glyphnet [train=32] [tests=32,48] [methods=a,b] [with=...] [times=1000] -->
    <!-- end of table -->

`train=` and `tests=` are pixels (32, or 32x64 with the height first). A cell is the mean ± the standard deviation over
seeds; the best mean of a column is bold where the report ranks it; `with=accuracy_glyphjudge` puts a second metric, a
share, behind it, `times=` multiplies the first. --check changes nothing and fails where a table is not what its records
say.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from rpe2d_bench import load_records
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.storage.records import Record, latest_run, read

TABLE = re.compile(r"(<!-- table (?P<source>\S+) (?P<options>[^>]*?) *-->\n).*?(<!-- end of table -->)", re.DOTALL)


def size(height: float, width: float) -> str:
    return f"{int(height)}" if height == width else f"{int(height)}x{int(width)}"


def _squares_first(column: str) -> tuple[bool, list[int]]:
    """Squares by size, then the others."""
    return "x" in column, [int(side) for side in column.split("x")]


def table(source: Path, metric: str, train: str = "", tests: str = "", methods: str = "", **further: str) -> str:
    """The table in Markdown, floor last."""
    frame = load_records(source / "records.jsonl", run="latest")
    frame = frame[frame["status"] == "ok"].assign(
        train=lambda f: [size(h, w) if pd.notna(h) else "" for h, w in zip(f.train_height, f.train_width, strict=True)],
        test=lambda f: [size(h, w) if pd.notna(h) else "" for h, w in zip(f.test_height, f.test_width, strict=True)],
    )
    factor = float(further.get("times", 1))
    frame["value"] *= np.where(frame["metric"] == metric, factor, 1.0)
    cells = frame[frame["stage"].isin(["measure", "denoise"]) & frame["metric"].isin([metric, further.get("with")])]
    cells = cells[cells["train"] == (train or cells["train"].iloc[0])]
    columns = tests.split(",") if tests else sorted(dict.fromkeys(cells["test"]), key=_squares_first)
    rows = methods.split(",") if methods else list(dict.fromkeys(cells["method"]))
    behind = further.get("with")
    lines = [f"| {heading} |" for heading in [" | ".join(["method", *(f"{c} px" for c in columns)])]]
    lines.append("| --- |" + " --- |" * len(columns))
    refused = {
        size(*test) for (small, test) in Results(latest(source), []).refusals if size(*small) == cells["train"].iloc[0]
    }
    means = {(m, c): values(cells, metric, m, c).mean() for m in rows for c in columns}
    for method in rows:
        words = []
        for column in columns:
            word = cell(values(cells, metric, method, column))
            if behind:
                word += f", {100 * values(cells, behind, method, column).mean():.0f} %"
            best = min(means[m, column] for m in rows) == means[method, column]
            words.append(f"**{word}**" if best and column not in refused else word)
        lines.append(" | ".join([f"| {method}", *words]) + " |")
    floors = frame[(frame["stage"] == "floor") & (frame["metric"] == metric)]
    floors = floors[floors["train"].isin(["", cells["train"].iloc[0]])]  # before 2026-11-23 they named none
    if not floors.empty:
        real = [cell(floors[floors["test"] == column]["value"]) for column in columns]
        lines.append(" | ".join(["| real against real", *real]) + " |")
    seeds, counts = sorted(set(cells["seed"])), sorted(set(cells["num_samples"]))
    commits = ", ".join(sorted({str(commit)[:7] for commit in cells["commit"]}))
    name = source.name
    shown = metric if factor == 1 else f"{metric} × {factor:g}"
    lines.append(
        f"\n{shown}, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}, {'/'.join(map(str, counts))} images a "
        f"cell; commit {commits}; records: `{source.as_posix()}/records.jsonl` (experiment {name}).\n"
    )
    return "\n".join(lines)


def latest(source: Path) -> list[Record]:
    """The records of the newest run."""
    found = read(source / "records.jsonl")
    run = latest_run(found)
    return [record for record in found if record.run == run]


def values(cells: pd.DataFrame, metric: str, method: str, test: str) -> pd.Series:
    found = cells[(cells["metric"] == metric) & (cells["method"] == method) & (cells["test"] == test)]["value"]
    if found.empty:
        raise SystemExit(f"no {metric} of {method!r} at {test} px")
    return found


def cell(found: pd.Series) -> str:
    size = abs(found.mean())
    places = 1 if size >= 20 else 2 if size >= 0.095 else 3
    return f"{found.mean():.{places}f}" + (f" ± {found.std():.{min(places, 2)}f}" if len(found) > 1 else "")


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
