"""A client for a tracking URI, with time-outs that never hold up a run, and the experiment in it."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.files import locked
from rpe2d_bench.tracking import naming

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from rpe2d_bench.config.experiment import Experiment

DATABASE = "mlflow.db"
ARTIFACTS = "mlflow-artifacts"
# MLflow's own defaults block for minutes when a server is gone (7 retries, backing off).
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
# What the UI shows above the runs of an experiment; folded, only the first paragraph is seen.
NOTE = """To compare methods: filter `tags.stage = "mean"`, chart view; `answer`: {metric} over the side in pixels.

- *Which method is best at a size?* The same view, section `size {size}px`; or the list view with the column
  `size {size}px/{metric}`, sorted.
- *Loss curves*: filter `tags.stage = "train"`, chart view, `loss` over step.
- *Images*: a cell (`tags.stage = "measure"`), Artifacts, `samples.png`; same class and noise for every method.
- Each `rpe2d-bench run` is one parent run; below it are its trained models, method curves per seed, and cells. The
  report is among its artifacts.
"""


def default_uri(store: Path) -> str:
    """SQLite in the store. Absolute: MLflow would look for a relative file wherever it happens to be started."""
    path = str(Path(store).resolve() / DATABASE)
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"  # SQLAlchemy reads these two as its own


def connect(uri: str) -> MlflowClient:
    """A client of the server or database at `uri`; does not talk to it yet, but SQLite files are made."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic", "sqlalchemy", "urllib3.connectionpool"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # what fails is raised, too, and becomes one sentence

    path = sqlite_path(uri)
    if path is None:
        return MlflowClient(tracking_uri=uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    quoted = Path(uri.removeprefix("sqlite:///")).parent
    stray = None if quoted.exists() else quoted  # MLflow makes the folder as it is quoted, beside the real one
    check_database(path)
    # Several processes that open a new SQLite store together break it for good
    with locked(path.with_name(path.name + ".lock")):
        if _never_finished(path):
            for ending in ("", "-wal", "-shm", "-journal"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
        with sqlite3.connect(path, timeout=5) as database:
            database.execute("PRAGMA journal_mode=WAL")
    if stray is not None:
        with suppress(OSError):  # not empty: somebody's own
            stray.rmdir()
    return client


def check_database(path: Path) -> None:
    """Raises UserError for a file that SQLite finds damaged. Values within its pages have no checksum there."""
    if not path.is_file() or not path.stat().st_size:
        return
    reason = "not whole"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, timeout=5)) as database:
            if database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
                return
    except sqlite3.OperationalError as error:
        if "malformed" not in str(error):
            return  # locked, or a read-only folder: no damage
        reason = str(error)
    except sqlite3.DatabaseError as error:
        reason = str(error)
    raise UserError(
        f"the MLflow database {path} is damaged ({reason}); it is only a view of the records: `rpe2d-bench sync` puts"
        " it aside and makes a new one"
    )


def _never_finished(path: Path) -> bool:
    """Whether making the tables was cut short, by a kill or a full disk: MLflow could not open them, nor go on."""
    if not path.is_file() or not path.stat().st_size:
        return False
    try:
        with closing(sqlite3.connect(path, timeout=5)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "runs" in tables and database.execute("SELECT 1 FROM runs LIMIT 1").fetchone():
                return False
            stamped = "alembic_version" in tables and database.execute("SELECT 1 FROM alembic_version").fetchone()
            return not stamped or any(name.startswith("_alembic_tmp") for name in tables)
    except sqlite3.DatabaseError:
        return False  # check_database names what is damaged


def set_aside(path: Path) -> Path | None:
    """Put a damaged database aside; returns where to, or None where nothing is wrong with it."""
    try:
        check_database(path)
    except UserError:
        beside = path.with_name(f"{path.name}.damaged")
        path.replace(beside)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        return beside
    return None


def sqlite_path(uri: str) -> Path | None:
    """The file behind a sqlite:/// URI."""
    return Path(unquote(uri.removeprefix("sqlite:///"))) if uri.startswith("sqlite:///") else None


def experiment_id(client: MlflowClient, uri: str, name: str, store: Path, experiment: Experiment) -> str:
    """The experiment of that name, made when absent; with SQLite its artifacts lie in the store."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
    place = None
    if sqlite_path(uri) is not None:
        place = (Path(store).resolve() / ARTIFACTS).as_uri()
    made = str(client.create_experiment(name, artifact_location=place))
    metric, where = _main_metric(experiment), experiment.resolutions[0].test[-1]
    client.set_experiment_tag(made, "mlflow.note.content", NOTE.format(metric=metric, size=naming.size(where)))
    client.set_experiment_tag(made, "mlflow.experiment.primaryMetric.name", f"answer/{metric}")
    # Without this the UI guesses what kind of experiment it shows, and may open on an empty page about traces.
    client.set_experiment_tag(made, "mlflow.experimentKind", "custom_model_development")
    return made


def _main_metric(experiment: Experiment) -> str:
    """As its values will be recorded."""
    from rpe2d_bench.metrics.table import METRICS, value_name  # numpy

    name, evaluate = experiment.report.main_metric, experiment.evaluate
    return value_name(name, evaluate.features, evaluate.judge) if name in METRICS else name
