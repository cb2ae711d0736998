"""The notebook in docs runs, from records to its figure."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.synthetic_records import make_records

from rpe2d_bench.storage.records import append

NOTEBOOK = Path(__file__).parents[2] / "docs" / "records_to_figure.ipynb"


def test_notebook_runs_to_its_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for record in make_records(seeds=(0, 1), tests=[(16, 16), (32, 32), (32, 64)]):
        append(tmp_path, record)
    monkeypatch.setenv("RPE2D_RECORDS", str(tmp_path / "records.jsonl"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # no stored numbers that could go stale
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    table = next(
        output["data"]["text/plain"] for output in shown if "yarn" in output.get("data", {}).get("text/plain", "")
    )
    assert "32×64" in table
