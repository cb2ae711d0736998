"""The report folder of one run: page, tables, figures, strips, and what they were made from."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rpe2d_bench.analysis.frame import load_frame
from rpe2d_bench.analysis.results import Results, results_of
from rpe2d_bench.report import formats
from rpe2d_bench.report.content import Content
from rpe2d_bench.report.drawing import Drawing
from rpe2d_bench.report.images import Strips
from rpe2d_bench.report.page import write_page
from rpe2d_bench.report.sections import GROUP, contents
from rpe2d_bench.report.table import Table
from rpe2d_bench.storage.digests import Damaged, read_stamped, stamped
from rpe2d_bench.storage.records import RECORDS_FILE, Record, lines_of

LOG = logging.getLogger("rpe2d_bench.report")
MANIFEST = "report.json"
WITH_IMAGES = ("answer",)  # sections whose figures a repository keeps and report.md shows


def write_report(
    records: list[Record] | Results, store: Path, out: Path, comparisons: list[dict[str, Any]] | None = None
) -> Path:
    """Everything about one run in the folder `out`; an older report there is replaced as a whole.

    Nothing is drawn again when a report of the same records, artifacts and code is there already, as it was written.
    """
    results, store, out = results_of(records, comparisons), Path(store), Path(out)
    inputs = fingerprint(results, store)
    if _inputs_of(out) == inputs:
        changed = changed_file(out)
        if changed is None:
            return out / "index.html"
        LOG.warning("%s is not as it was written; the report is made again", out / changed)
    replace_folder(out, lambda fresh: _write(results, store, fresh, inputs))
    return out / "index.html"


def replace_folder(out: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new folder and put it where `out` is; what was there stays when writing fails."""
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        write(fresh)
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


def fingerprint(results: Results, store: Path) -> str:
    """Of all that a report depends on: the records, the artifacts that exist, this package's code, its plug-ins."""
    seen = hashlib.sha256(results.digest.encode())
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        seen.update(f"{point.name} {point.value} {point.dist.version if point.dist else ''}\n".encode())
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


def save_files(sections: Iterable[Content], out: Path) -> None:
    """Every table as CSV, LaTeX and Markdown, every figure in its formats, and a sheet of samples per resolution."""
    for block in (block for section in sections for block in section.walk()):
        if isinstance(block, Table):
            _save(out / "tables" / f"{block.name}.csv", formats.csv_text(block))
            _save(out / "tables" / f"{block.name}.tex", formats.latex(block))
            _save(out / "tables" / f"{block.name}.md", formats.table_markdown(block))
        elif isinstance(block, Drawing | Strips):
            for kind, content in block.files.items():
                _save(out / "figures" / f"{block.name}.{kind}", content)
            for name, content in block.sheets.items() if isinstance(block, Strips) else ():
                _save(out / "strips" / name, content)


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
    frame = formats.frame_csv(load_frame(results.records))
    _save(out / "results.csv", frame)
    _save(out / RECORDS_FILE, b"".join(lines_of(results.records)))
    if results.comparisons:
        _save(out / "comparisons.json", json.dumps(results.comparisons, indent=1) + "\n")
    sections = contents(results, store)
    save_files(sections.values(), out)
    text = [
        formats.content_markdown(content, images="figures" if name in WITH_IMAGES else None)
        for name, content in sections.items()
    ]
    _save(out / "report.md", "\n".join([f"# {formats.escape_markdown(results.name)}\n", *text]))
    write_page(results, sections, frame, out / "index.html")
    made = {
        "experiment": results.name,
        "run": results.newest.run,
        "records": len(results.records),
        "records_sha256": results.digest,
        "newest_record": results.newest.created,
        "inputs_sha256": inputs,
    }
    _save(out / MANIFEST, json.dumps(stamped(made | {"files": _checksums(out)}), indent=2) + "\n")


def _save(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
