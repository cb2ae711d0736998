"""The report folder of one run: page, tables, figures, strips, and what they were made from."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from rpe2d_bench.analysis.frame import load_frame
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import Metric, size_label
from rpe2d_bench.report import figures, formats, plain, search, sheets, stability
from rpe2d_bench.report.answer import answer
from rpe2d_bench.report.compute import compute_curve, compute_needed
from rpe2d_bench.report.denoising import wins_by_time
from rpe2d_bench.report.drawing import Drawing, drawing
from rpe2d_bench.report.page import Section, write_page
from rpe2d_bench.report.planes import plane
from rpe2d_bench.report.ramps import ramps
from rpe2d_bench.report.strips import real_strips, strips
from rpe2d_bench.report.tables import Table, difference_table, excess_table, value_table
from rpe2d_bench.storage.digests import Damaged, read_stamped, stamped
from rpe2d_bench.storage.records import RECORDS_FILE, Record, Resolution, line_of

LOG = logging.getLogger("rpe2d_bench.report")
MANIFEST = "report.json"


def write_report(
    records: list[Record], store: Path, out: Path, comparisons: list[dict[str, Any]] | None = None
) -> Path:
    """Everything about one run in the folder `out`; an older report there is replaced as a whole.

    Nothing is drawn again when a report of the same records, artifacts and code is there already, as it was written.
    """
    results = Results(records, list(comparisons or []))
    out = Path(out)
    inputs = fingerprint(results, Path(store))
    if _inputs_of(out) == inputs:
        changed = changed_file(out)
        if changed is None:
            return out / "index.html"
        LOG.warning("%s is not as it was written; the report is made again", out / changed)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _write(results, Path(store), fresh, inputs)
        fresh.chmod(0o755)
        if out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
            out.rename(old / "report")
            fresh.rename(out)
            shutil.rmtree(old)
        else:
            fresh.rename(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return out / "index.html"


def tables_of(results: Results, train: Resolution) -> list[Table]:
    """Per metric, the main one first: values, excess over the floor (distances only), differences."""
    found: list[Table] = []
    for metric in results.metrics:
        found.append(value_table(results, metric, train))
        if metric.better == "lower" and metric.has_floor:
            found.append(excess_table(results, metric, train))
        if (against := difference_table(results, metric, train)) is not None:
            found.append(against)
    return found


def curve(results: Results, metric: Metric, train: Resolution) -> Drawing:
    """The metric over test resolution with its words."""
    sizes = ", ".join(size_label(test) for test in results.resolutions[train])
    direction = {"lower": "Lower is better. ", "higher": "Higher is better. "}.get(metric.better or "", "")
    return drawing(
        figures.metric_curve(results, metric, train),
        f"{metric.key}_train_{size_label(train).replace('×', 'x')}",
        f"{metric.label} over test resolution",
        f"{metric.label} of {len(results.methods)} methods at {sizes} pixels; the numbers are in the table.",
        f"{metric.label}: {metric.explanation}. Mean over seeds; {figures.bar_words(results)}. {direction}"
        "Dashed grey: real against real images. Marks are shifted sideways a little so that they do not hide each"
        " other; line styles tell the trained models apart.",
        figures.FORMATS if metric == results.main_metric else ("svg", "png"),
    )


def fingerprint(results: Results, store: Path) -> str:
    """Of all that a report depends on: the records, the artifacts that exist, this package's code and its version."""
    seen = hashlib.sha256(results.digest.encode())
    for record in results.records:
        for path in record.artifacts.model_dump(exclude_none=True).values():
            file = store / path
            seen.update(f"{path} {file.stat().st_mtime_ns if file.is_file() else None}\n".encode())
    for file in sorted(Path(__file__).parent.rglob("*")):
        if file.is_file() and file.suffix in (".py", ".j2", ".css", ".js", ".mplstyle"):
            seen.update(file.read_bytes())
    return seen.hexdigest()


def changed_file(out: Path) -> str | None:
    """The first file of a report that is not as it was written, or is gone; None where all are."""
    try:
        written: dict[str, str] = read_stamped(out / MANIFEST)["files"]
        now = _checksums(out)
    except (OSError, KeyError, Damaged):
        return MANIFEST
    return next((name for name, checksum in written.items() if now.get(name) != checksum), None)


def _inputs_of(out: Path) -> str | None:
    """The fingerprint of the report that is in the folder, if one is."""
    try:
        made = json.loads((out / MANIFEST).read_bytes())
        return str(made["inputs_sha256"]) if (out / "index.html").is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checksums(out: Path) -> dict[str, str]:
    """File -> sha256, of everything in a report but its manifest."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path != out / MANIFEST)
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _write(results: Results, store: Path, out: Path, inputs: str) -> None:
    _save(out / "results.csv", formats.frame_csv(load_frame(results.records)))
    (out / RECORDS_FILE).write_bytes(b"".join(line_of(record) for record in results.records))
    if results.comparisons:
        _save(out / "comparisons.json", json.dumps(results.comparisons, indent=1) + "\n")
    sections, text = [], [f"# {formats.escape_markdown(results.name)}\n"]
    head = [sentence.text for sentence in answer(results) if sentence.kind in ("answer", "caution")]
    text.append("".join(f"- {formats.escape_markdown(sentence)}\n" for sentence in head))
    for train in results.resolutions:
        at = f"train_{size_label(train).replace('×', 'x')}"
        tables = tables_of(results, train)
        for table in tables:
            text.append(formats.markdown(table))
            _save(out / "tables" / f"{table.name}.tex", formats.latex(table))
            _save(out / "tables" / f"{table.name}.csv", formats.csv_text(table))
            _save(out / "tables" / f"{table.name}.md", formats.markdown(table))
        drawn = {metric.key: curve(results, metric, train) for metric in results.metrics}
        for figure in drawn.values():
            figure.save(out / "figures")
        images, real = strips(results, store, train), real_strips(results, store, train)
        overview: dict[str, bytes] = {}
        if images:
            overview = figures.files_of(sheets.overview(results, images, real, train))
            for kind, content in overview.items():
                (out / "figures" / f"samples_{at}.{kind}").write_bytes(content)
            for test in results.resolutions[train]:
                if (sheet := sheets.contact_sheet(results, images, real, test)) is not None:
                    name = f"samples_{at}_test_{size_label(test).replace('×', 'x')}.png"
                    (out / "strips").mkdir(exist_ok=True)
                    sheet.save(out / "strips" / name)
        both = plane(results, train)
        if both is not None:
            both.save(out / "figures")
        turning = ramps(results, train)
        if turning is not None:
            turning.save(out / "figures")
        denoising = wins_by_time(results, train)
        if denoising is not None:
            denoising.save(out / "figures")
        compute = compute_curve(results, results.main_metric, train)
        if compute is not None:
            compute.save(out / "figures")
        needed = compute_needed(results, results.main_metric, train)
        if needed is not None:
            text.append(plain.markdown(needed))
            _save(out / "tables" / f"{needed.name}.csv", plain.csv_text(needed))
        sections.append(
            Section(train, tables, drawn, images, real, both, turning, denoising, compute, needed, overview)
        )
    chosen = search.how_chosen(results)
    if chosen is not None:
        text.append(search.markdown(chosen))
        _save(out / "tables" / "search_trials.csv", search.trials_csv(chosen))
    stable = stability.stability(results)
    if stable:
        text.append(stability.markdown(stable))
        for shown in (each for entry in stable for each in (entry.agreement, entry.ranks, entry.settings)):
            _save(out / "tables" / f"{shown.name}.csv", plain.csv_text(shown))
    _save(out / "report.md", "\n".join(text))
    made = {
        "experiment": results.name,
        "run": results.newest.run,
        "records": len(results.records),
        "records_sha256": results.digest,
        "newest_record": results.newest.created,
        "inputs_sha256": inputs,
    }
    write_page(results, store, sections, out / "index.html")
    _save(out / MANIFEST, json.dumps(stamped(made | {"files": _checksums(out)}), indent=2) + "\n")


def _save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
