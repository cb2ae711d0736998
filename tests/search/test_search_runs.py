"""Whole searches of a tiny experiment: both engines, a planted optimum, kills, what is recorded and shown."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.searched_experiment import PLANTED

from rpe2d_bench import report
from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.data import Split
from rpe2d_bench.data.glyphs.dataset import Glyphs
from rpe2d_bench.plan.expand import make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.runner.search import search
from rpe2d_bench.storage import records
from rpe2d_bench.storage.record_parts import Configuration, SearchOutcome
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store
from rpe2d_bench.tracking import naming

Table = dict[str, Any]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    path = tmp_path / "planted.yaml"
    path.write_text(PLANTED)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Experiment, Table, list[Record], Store]:
    """A search and its comparison in one process, which several tests look at."""
    folder = tmp_path_factory.mktemp("searched")
    path, store = folder / "planted.yaml", Store(folder / "runs")
    path.write_text(PLANTED)
    chosen, table = search(load_experiment(path), store, engine="local")
    found = run(make_plan(chosen), store, engine="local", searched=table)
    return path, chosen, table, found, store


def times(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_a_planted_optimum_is_found(done: tuple[Path, Experiment, Table, list[Record], Store]) -> None:
    _, chosen, table, _, _ = done
    for model in ("rope", "rpe2d"):
        assert chosen.train_of(model).lr == 1e-2
    for entry in table["entries"]:
        assert len(entry["trials"]) == (3 if entry["space"] else 0)
        if entry["section"] == "models":
            assert entry["trials"][0]["values"] == {"train.lr": 1e-9}
            objectives = {trial["values"]["train.lr"]: trial["objective"] for trial in entry["trials"]}
            assert objectives[1e-2] < 0.7 * objectives[1e-9]


def test_records_carry_the_chosen_values_and_how_they_were_chosen(
    done: tuple[Path, Experiment, Table, list[Record], Store],
) -> None:
    _, chosen, table, found, store = done
    assert {record.status for record in found} == {"ok"}
    for record in records.read(store.root):
        assert record.config.search == SearchOutcome.model_validate(table)
        assert record.config.experiment.models["rope"].train == {"lr": 1e-2}
        assert record.run == make_plan(chosen).run
    assert table["metric"] in found[-1].metrics
    assert json.loads(json.dumps(table)) == table


def test_a_search_that_is_known_repeats_nothing_and_starts_no_ray(
    done: tuple[Path, Experiment, Table, list[Record], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rpe2d_bench.runner import engine_ray

    path, chosen, table, found, store = done
    monkeypatch.setattr(engine_ray, "start", lambda context: pytest.fail("Ray was started"))
    touched = times(store.root / "stages")
    again, same = search(load_experiment(path), store, engine="ray")
    assert (again, same) == (chosen, table)
    assert run(make_plan(again), store, engine="ray", searched=same) == found
    assert times(store.root / "stages") == touched


def test_a_chosen_training_is_shared_with_the_comparison(
    done: tuple[Path, Experiment, Table, list[Record], Store],
) -> None:
    _, chosen, _, _, store = done
    trained = {path.name for path in (store.root / "stages" / "train").iterdir()}
    assert {trial.stage.key for trial in make_plan(chosen).trials} <= trained
    assert len(trained) == 6  # three rates for two models; the comparison added none


def test_the_search_never_renders_a_test_image(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[str, int]] = set()
    images = Glyphs.images

    def watched(self: Glyphs, split: Split, indices: np.ndarray, resolution: Any) -> np.ndarray:
        seen.add((split, int(indices.max())))
        return images(self, split, indices, resolution)

    monkeypatch.setattr(Glyphs, "images", watched)
    search(load_experiment(planted, ["search.trials=2"]), Store(tmp_path / "runs"), engine="local", methods=["ntk"])
    assert {split for split, _ in seen} == {"train", "validation"}


@pytest.mark.slow
def test_ray_chooses_the_same_bits(
    done: tuple[Path, Experiment, Table, list[Record], Store], planted: Path, tmp_path: Path
) -> None:
    _, chosen, table, _, _ = done
    output: list[str] = []
    there, same = search(load_experiment(planted), Store(tmp_path / "runs"), engine="ray", on_record=output.append)
    assert there == chosen
    assert same == table
    assert len([line for line in output if line.startswith("tried")]) == 9


@pytest.mark.slow
def test_asha_stops_what_does_not_learn_and_never_the_values_as_written(planted: Path, tmp_path: Path) -> None:
    overrides = [
        "search.scheduler=asha",
        "search.trials=4",
        "train.steps=100",
        "train.lr=5.0e-3",
        "search.models={'*': {train.lr: [4.0e-3, 1.0e-9, 1.0e-8, 1.0e-7]}}",
        "resources.trials_in_parallel=1",
    ]
    experiment = load_experiment(planted, overrides)
    _, table = search(experiment, Store(tmp_path / "runs"), engine="ray", methods=["extrapolation"])
    (trials,) = [entry["trials"] for entry in table["entries"] if entry["entry"] == "rope"]
    assert len(trials) == 4
    assert trials[0]["status"] == "ok"
    stopped = [trial for trial in trials if trial["status"] == "stopped"]
    assert stopped
    assert all(trial["values"]["train.lr"] < 1e-6 for trial in stopped)


@pytest.mark.slow
def test_a_killed_search_repeats_no_finished_trial(
    done: tuple[Path, Experiment, Table, list[Record], Store], planted: Path, tmp_path: Path
) -> None:
    store = tmp_path / "killed"
    program = "from rpe2d_bench.cli import main; main()"
    arguments = ["run", str(planted), "--engine", "local", "--no-mlflow", "--store", str(store)]
    command = [sys.executable, "-c", program, *arguments, "--reports", str(tmp_path / "reports")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    deadline = time.time() + 120
    while time.time() < deadline and len(list((store / "stages" / "train").glob("*/manifest.json"))) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    sealed = [path.parent for path in (store / "stages").glob("*/*/manifest.json") if path.parent.suffix == ""]
    kept = {path: path.stat().st_mtime_ns for folder in sealed for path in folder.iterdir()}
    assert {folder.parent.name for folder in sealed} >= {
        "train",
        "measure",
        "search",
    }  # one entry was done, one was not
    assert len(list((store / "stages" / "search").iterdir())) == 1
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)
    assert kept.items() <= times(store / "stages").items()
    assert records.read(store)[0].config.search == SearchOutcome.model_validate(done[2])


def test_the_report_says_how_values_were_chosen(
    done: tuple[Path, Experiment, Table, list[Record], Store], tmp_path: Path
) -> None:
    _, _, _, found, store = done
    page = report.render(found, store.root, tmp_path / "report").read_text()
    assert "How values were chosen: 3 trials for each of 3 entries" in page
    assert "train.lr 1e-09" in page
    assert "train.lr 0.01" in page
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| model rope | train.lr: 1e-09 / 1e-08 / 0.01 (judged by extrapolation) | 3 |" in text
    assert "| method extrapolation | 0 options | 0 |" in text
    lines = (tmp_path / "report" / "tables" / "search_trials.csv").read_text().splitlines()
    assert len(lines) == 1 + 9
    plain = [
        record.model_copy(update={"configuration": Configuration(config={"experiment": record.config.experiment})})
        for record in found
    ]
    assert "How values were chosen" not in report.render(plain, store.root, tmp_path / "plain").read_text()


def test_mlflow_has_the_chosen_values_as_parameters(
    done: tuple[Path, Experiment, Table, list[Record], Store],
) -> None:
    _, chosen, _, found, _ = done
    trained = naming.parameters(next(record for record in found if record.stage == "train" and record.model == "rope"))
    assert trained["searched.model.train.lr"] == "0.01"
    assert trained["searched.model.trials"] == "3"
    measured = naming.parameters(next(record for record in found if record.method == "ntk"))
    assert measured["searched.method.sampler.steps"] == str(chosen.sampler_of("ntk").steps)
    assert "searched.method.trials" not in naming.parameters(
        next(record for record in found if record.method == "extrapolation")
    )
