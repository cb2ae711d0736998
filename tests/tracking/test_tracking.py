"""MLflow is a view of the records: complete, rebuilt without doubles, and never in the way of a run.

Longer than other files, because one MLflow database serves most of its tests.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.synthetic_records import asking, make_records
from helpers.tracked import SMALL, TWO

from rpe2d_bench import report
from rpe2d_bench.analysis.palette import styles
from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.records import Record, append
from rpe2d_bench.tracking import BackgroundTracker, Tracker, default_uri, naming, sync, ui_address, ui_command


def client_of(store: Path):  # type: ignore[no-untyped-def]
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=default_uri(store))


def runs_of(store: Path, where: str = ""):  # type: ignore[no-untyped-def]
    client = client_of(store)
    experiment = client.get_experiment_by_name("synthetic")
    return client.search_runs([experiment.experiment_id], where, max_results=1000)


def test_importing_costs_no_mlflow() -> None:
    code = "import sys, rpe2d_bench.tracking; sys.exit('mlflow' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_database_is_absolute_and_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_uri(Path("runs")) == f"sqlite:///{tmp_path}/runs/mlflow.db"


def test_every_record_is_a_named_tagged_child(logged: tuple[Path, list[Record]]) -> None:
    store, records = logged
    names = {run.info.run_name: run for run in runs_of(store)}
    cells = [run for run in names.values() if run.data.tags["stage"] in ("train", "measure", "floor")]
    assert len(cells) == len(records)
    cell = names["yarn 48 seed 0"]
    wanted = {"method": "yarn", "model": "rope", "train_resolution": "32", "test_resolution": "48", "seed": "0"}
    assert wanted.items() <= cell.data.tags.items()
    assert "rope seed 1" in names
    assert "rpe2d 32x64 seed 0" in names
    parents = {run.data.tags.get("mlflow.parentRunId") for run in names.values()} - {None}
    assert all("mlflow.parentRunId" not in r.data.tags for r in names.values() if r.data.tags["stage"] == "mean")
    assert parents == {run.info.run_id for run in names.values() if run.data.tags["stage"] == "sweep"}
    record = next(r for r in records if r.method == "yarn" and r.test_resolution == (48, 48) and r.seed == 0)
    for metric, value in record.metrics.items():
        assert cell.data.metrics[metric] == pytest.approx(value)
    assert cell.data.params["method.frequencies.kind"] == "yarn"
    trained = names["rope seed 0"].info.run_id
    assert trained in cell.data.tags["mlflow.note.content"]


def test_a_method_has_its_colour_of_the_report_and_a_result_its_source(logged: tuple[Path, list[Record]]) -> None:
    store, records = logged
    experiment = records[0].config.experiment
    wanted = {name: style.colour for name, style in styles(experiment.methods).items()}
    runs = [run for run in runs_of(store) if run.data.tags.get("method") in wanted]
    assert {run.data.tags["stage"] for run in runs} == {"measure", "method", "mean"}
    for run in runs:
        assert run.data.tags["mlflow.runColor"] == wanted[run.data.tags["method"]]
        assert run.data.tags["mlflow.source.type"] == "LOCAL"
    assert len(set(wanted.values())) == len(wanted)
    (sweep,) = runs_of(store, "tags.stage = 'sweep'")
    assert sweep.data.tags["mlflow.source.type"] == "LOCAL"
    assert sweep.data.tags["mlflow.source.name"] == records[0].provenance.command
    assert sweep.data.tags["mlflow.source.git.commit"] == records[0].provenance.commit


def test_no_two_methods_share_a_colour_and_means_have_short_names(logged: tuple[Path, list[Record]]) -> None:
    store, records = logged
    record = next(record for record in records if record.method == "yarn")
    experiment = record.config.experiment
    many = experiment.model_copy(update={"methods": {f"m{n}": experiment.methods["yarn"] for n in range(20)}})
    config = record.config.model_copy(update={"experiment": many})
    shown = [record.model_copy(update={"config": config, "method": name}) for name in many.methods]
    assert len({naming.shown_as(one)["mlflow.runColor"] for one in shown}) == 20
    names = {run.info.run_name for run in runs_of(store, "tags.stage = 'mean'")}
    assert names == {"yarn", "rpe2d", "real images"}
    pairs = (experiment.resolutions[0], experiment.resolutions[0].model_copy(update={"train": (16, 16)}))
    wide = config.model_copy(update={"experiment": experiment.model_copy(update={"resolutions": pairs})})
    sized = record.model_copy(update={"config": wide, "test_resolution": (48, 48)})
    assert naming.name(sized) == f"yarn 32->48 seed {record.seed}"
    assert naming.trained_at("yarn", sized) == "yarn 32px"


def test_the_main_metric_is_the_first_chart_and_the_notes_names_exist(logged: tuple[Path, list[Record]]) -> None:
    store, _ = logged
    client = client_of(store)
    run = next(r for r in runs_of(store, "tags.stage = 'mean'") if r.data.tags["method"] == "yarn")
    assert min(run.data.metrics) == "answer/kid_glyphnet"  # the UI sorts sections and charts by name
    assert run.data.tags["mlflow.note.content"] == "Means over 2 seeds."
    tags = client.get_experiment_by_name("synthetic").tags
    assert tags["mlflow.experiment.primaryMetric.name"] == "answer/kid_glyphnet"
    columns = re.findall(r"`(size [^`]*/[^`]*)`", tags["mlflow.note.content"])
    assert columns
    assert set(columns) <= set(run.data.metrics)


def test_sync_gives_a_sweep_the_head_of_its_report(logged: tuple[Path, list[Record]]) -> None:
    store, everything = logged
    records = [record.model_copy(update={"experiment": "described", "run": "described0"}) for record in everything]
    sync(store, None, records, describe=report.description)
    client = client_of(store)
    found = client.search_runs([client.get_experiment_by_name("described").experiment_id], "tags.stage = 'sweep'")
    note = found[0].data.tags["mlflow.note.content"]
    assert note.startswith(report.description(records)[:40])
    assert note.endswith("`rpe2d-bench run synthetic.yaml`")


def test_a_cell_links_to_its_data_and_to_the_model_it_samples(logged: tuple[Path, list[Record]]) -> None:
    store, records = logged
    client = client_of(store)
    names = {run.info.run_name: run for run in runs_of(store)}
    trained, cell = names["rpe2d seed 1"], names["rpe2d 48 seed 1"]
    experiment = trained.info.experiment_id
    models = {m.source_run_id: m for m in client.search_logged_models([experiment])}
    assert len(models) == sum(r.stage == "train" for r in records)
    model = models[trained.info.run_id]
    assert model.name == "rpe2d seed 1"
    assert model.params["checkpoint"] == "stages/train/rpe2d1/weights.safetensors"
    assert model.status.value == "READY"
    assert [(m.key, m.value) for m in model.metrics if m.key == "validation_loss"] == [("validation_loss", 0.21)]
    # a search leaves these out: inputs always, outputs before MLflow 3.17
    made = client.get_run(trained.info.run_id).outputs.model_outputs
    assert [m.model_id for m in made] == [model.model_id]
    sampled = client.get_run(cell.info.run_id).inputs.model_inputs
    assert [m.model_id for m in sampled] == [model.model_id]
    assert "stages/train/rpe2d1/weights.safetensors" in cell.data.tags["mlflow.note.content"]
    for run, context in ((trained, "training"), (cell, "reference")):
        (shown,) = run.inputs.dataset_inputs
        assert (shown.dataset.name, shown.dataset.digest) == ("glyphs", "glyphs-v1-0123456789abcdef")
        assert [tag.value for tag in shown.tags] == [context]


def test_a_replaced_training_leaves_one_model(logged: tuple[Path, list[Record]]) -> None:
    store, everything = logged
    chosen = [record for record in everything if record.model == "rpe2d" and record.seed == 0]
    records = [record.model_copy(update={"experiment": "replaced", "run": "replaced0"}) for record in chosen]
    sync(store, None, records)
    longer = [r.model_copy(update={"metrics": {"validation_loss": 0.1}}) if r.stage == "train" else r for r in records]
    sync(store, None, longer)
    client = client_of(store)
    experiment = client.get_experiment_by_name("replaced").experiment_id
    (model,) = client.search_logged_models([experiment])
    (run,) = client.search_runs([experiment], "tags.stage = 'train'")
    assert run.data.metrics["validation_loss"] == 0.1
    assert model.source_run_id == run.info.run_id


def test_loss_curve_is_complete(logged: tuple[Path, list[Record]]) -> None:
    store, _ = logged
    run = next(run for run in runs_of(store, "tags.stage = 'train'") if run.info.run_name == "rope seed 0")
    history = client_of(store).get_metric_history(run.info.run_id, "loss")
    assert [point.step for point in sorted(history, key=lambda p: p.step)] == list(range(1, 101))


def test_main_metric_is_a_curve_over_the_squares_side(logged: tuple[Path, list[Record]]) -> None:
    store, records = logged
    run = next(r for r in runs_of(store, "tags.stage = 'mean'") if r.data.tags["method"] == "rpe2d")
    history = client_of(store).get_metric_history(run.info.run_id, "curves/kid_glyphnet")
    found = {point.step: point.value for point in history}
    ours = [record for record in records if record.method == "rpe2d"]
    expected = {
        side: sum(r.metrics["kid_glyphnet"] for r in ours if r.test_resolution == (side, side)) / 2 for side in (32, 48)
    }
    assert found == pytest.approx(expected)
    assert "size 32x64px/kid_glyphnet" in run.data.metrics


def test_images_and_configuration_are_artifacts(logged: tuple[Path, list[Record]]) -> None:
    store, _ = logged
    client = client_of(store)
    cell = next(run for run in runs_of(store, "tags.stage = 'measure'"))
    assert {"samples.png", "record.json"} <= {item.path for item in client.list_artifacts(cell.info.run_id)}
    sweep = next(run for run in runs_of(store, "tags.stage = 'sweep'"))
    assert "experiment.json" in {item.path for item in client.list_artifacts(sweep.info.run_id)}
    assert Path(sweep.info.artifact_uri.removeprefix("file://")).is_relative_to(store)


def test_sync_again_changes_nothing_and_a_new_record_replaces_its_old_run(logged: tuple[Path, list[Record]]) -> None:
    store, records = logged
    before = {run.info.run_id for run in runs_of(store)}
    counts = sync(store, None, records)
    assert (counts["logged"], counts["replaced"]) == (0, 0)
    assert {run.info.run_id for run in runs_of(store)} == before
    changed = [
        r.model_copy(update={"metrics": r.metrics | {"kid_glyphnet": 0.5}})
        if r.method == "yarn" and r.test_resolution == (48, 48) and r.seed == 0 else r
        for r in records
    ]  # fmt: skip
    counts = sync(store, None, changed)
    # The cell, its method's curve and the method's mean.
    assert (counts["logged"], counts["replaced"]) == (3, 3)
    runs = runs_of(store)
    assert len(runs) == len(before)
    assert [r.data.metrics["kid_glyphnet"] for r in runs if r.info.run_name == "yarn 48 seed 0"] == [0.5]
    sync(store, None, records)


def test_live_logging_and_sync_agree(logged: tuple[Path, list[Record]], tmp_path: Path) -> None:
    store, records = logged
    live = [r.model_copy(update={"experiment": "live", "run": "live0"}) for r in records[:6]]
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_text("<p>report</p>")
    warned: list[str] = []
    tracker = BackgroundTracker(None, store, "live0", asking(live[0], name="live").config.experiment, warned.append)
    for record in live:
        tracker.log(record)
    tracker.finish(report, "**Above 1×** nothing may be concluded.")
    assert warned == []
    client = client_of(store)
    experiment = client.get_experiment_by_name("live")
    runs = client.search_runs([experiment.experiment_id])
    parent = next(run for run in runs if run.data.tags["stage"] == "sweep")
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["mlflow.note.content"].startswith("**Above 1×** nothing may be concluded.")
    assert [item.path for item in client.list_artifacts(parent.info.run_id, "report")] == ["report/index.html"]
    assert sync(store, None, live)["logged"] == 0


def test_a_resumed_run_keeps_what_earlier_attempts_logged(logged: tuple[Path, list[Record]]) -> None:
    store, records = logged
    mine = [r.model_copy(update={"experiment": "resumed", "run": "resumed0"}) for r in records[-6:]]
    for record in mine:
        append(store, record)
    for part in (mine[:4], mine[4:]):
        tracker = Tracker(None, store)
        tracker.start("resumed", "resumed0", mine[0].config.experiment)
        for record in part:
            tracker.log(record)
        tracker.finish()
        assert tracker.alive
    (store / "records.jsonl").unlink()
    client = client_of(store)
    runs = client.search_runs([client.get_experiment_by_name("resumed").experiment_id])
    assert sum(run.data.tags["stage"] == "measure" for run in runs) == sum(r.stage == "measure" for r in mine)
    assert sync(store, None, mine)["logged"] == 0


def test_the_ui_opens_on_the_methods_of_the_latest_experiment(logged: tuple[Path, list[Record]]) -> None:
    store, _ = logged
    client = client_of(store)
    names = {e.experiment_id: e.name for e in client.search_experiments()}
    address = ui_address(store, 5999)
    assert address.startswith("http://127.0.0.1:5999/#/experiments/")
    assert names[address.split("/experiments/")[1].split("/")[0]] != "Default"
    assert "tags.stage%20%3D%20%22mean%22" in address
    assert default_uri(store) in ui_command(store, 5999)
    assert ui_address(store / "absent", 5999) == "http://127.0.0.1:5999/"
    with pytest.raises(UserError, match="rpe2d-bench sync"):
        ui_command(store / "absent", 5999)


def test_failed_records_are_failed_runs(logged: tuple[Path, list[Record]]) -> None:
    store, records = logged
    bad = records[0].model_copy(
        update={"experiment": "bad", "run": "bad0", "status": "failed", "error": "out of memory", "metrics": {}}
    )
    sync(store, None, [bad])
    client = client_of(store)
    runs = client.search_runs([client.get_experiment_by_name("bad").experiment_id])
    assert {run.info.status for run in runs} == {"FAILED"}
    assert any("out of memory" in run.data.tags.get("mlflow.note.content", "") for run in runs)


def test_a_dead_server_costs_one_warning_and_no_time(tmp_path: Path) -> None:
    warned: list[str] = []
    records = make_records(seeds=(0,), tests=SMALL, methods=TWO)
    started = time.monotonic()
    tracker = Tracker("http://127.0.0.1:9", tmp_path, warned.append)
    tracker.start("synthetic", "run0", records[0].config.experiment)
    for record in records:
        tracker.log(record)
    tracker.finish()
    assert not tracker.alive
    assert len(warned) == 1
    assert "rpe2d-bench sync" in warned[0]
    assert time.monotonic() - started < 15


def test_a_broken_database_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    warned: list[str] = []
    counts = sync(tmp_path, None, make_records(seeds=(0,), tests=SMALL, methods=TWO), warned.append)
    assert counts["logged"] == 0
    assert len(warned) == 1
    assert (tmp_path / "mlflow.db").read_bytes().startswith(b"this is no database")


@pytest.mark.parametrize("name", ["st%20a", "st?x=1", "st#y"])
def test_a_store_of_any_name_has_its_database(tmp_path: Path, name: str) -> None:
    from rpe2d_bench.tracking.connection import connect, sqlite_path

    uri = default_uri(tmp_path / name)
    assert sqlite_path(uri) == tmp_path / name / "mlflow.db"
    connect(uri).search_experiments()
    assert (tmp_path / name / "mlflow.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
