"""Log one run's records as they come, or all of them again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.storage import records as records_file
from rpe2d_bench.storage.records import Record
from rpe2d_bench.tracking import lineage, naming, system
from rpe2d_bench.tracking.connection import connect, default_uri, experiment_id
from rpe2d_bench.tracking.curves import curve
from rpe2d_bench.tracking.images import strip

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LOG = logging.getLogger("rpe2d_bench.tracking")
CHUNK, PARAMETERS = 1000, 100  # in one log_batch: the most MLflow takes


class Tracker:
    """The single writer of one run's view in MLflow.

    Nothing here ever stops a run: when the server or database cannot be used, one warning says so, everything after
    it is skipped, and `sync` rebuilds the view from the records later.
    """

    def __init__(self, uri: str | None, store: Path, warn: Callable[[str], None] = LOG.warning) -> None:
        self.store = Path(store).resolve()
        self.uri = uri or default_uri(self.store)
        self.alive = True
        self._warn = warn
        self._client: MlflowClient | None = None
        self._experiment = self._parent = self._run = ""
        self._synced = False  # whether log() was given every record of the run
        self._existing: dict[str, Run] = {}  # identity -> run
        self._records: dict[tuple[Any, ...], Record] = {}
        self._models: dict[lineage.Key, lineage.Trained] = {}
        self._began = 0.0
        self.counts = {"logged": 0, "unchanged": 0, "replaced": 0}

    # What the runner calls

    def start(self, name: str, run: str, experiment: Experiment, command: str = "") -> None:
        """Make the database, the experiment and the parent run of one sweep, or find them again."""
        self._guard(lambda: self._start(name, run, experiment, command))

    def log(self, record: Record) -> None:
        """Log a record of this run; the same record twice is logged once, a newer one replaces the older."""
        self._records[record.identity] = record
        self._guard(lambda: self._log(record))

    def sampled(self, sample: system.Sample) -> None:
        """Log what the machine does to the sweep's run, at once: a long run can be watched."""
        self._guard(lambda: self.batch(self._parent, system.as_metrics([sample], self._began), {}))

    def finish(self, report: Path | None = None, head: str = "") -> None:
        """Curves over resolution, means over seeds, the report as an artifact, and the end of the parent run.

        `head`: the report's head as Markdown, which becomes the description of the parent run.
        """
        self._guard(lambda: self._finish(report, head))

    # What it does

    def _guard(self, work: Callable[[], None]) -> None:
        if not self.alive:
            return
        try:
            work()
        except Exception as error:  # whatever a database or a network can raise: a view must not cost a result
            self.alive = False
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            self._warn(
                f"MLflow at {self.uri} cannot be used ({reason}); the records hold everything, "
                "`rpe2d-bench sync` brings it there"
            )

    @property
    def client(self) -> MlflowClient:
        if self._client is None:
            self._client = connect(self.uri)
        return self._client

    def _start(self, name: str, run: str, experiment: Experiment, command: str) -> None:
        self._run = run
        self._experiment = experiment_id(self.client, self.uri, name, self.store, experiment)
        token = None
        while True:
            page = self.client.search_runs(
                [self._experiment], f"tags.run = '{run}'", max_results=1000, page_token=token
            )
            self._existing |= {r.data.tags[naming.IDENTITY]: r for r in page if naming.IDENTITY in r.data.tags}
            token = page.token
            if not token:
                break
        self._models = lineage.known_models(list(self._existing.values()))
        key = naming.identity("sweep", run)
        if key in self._existing:
            self._parent = self._existing[key].info.run_id
            self._began = self._existing[key].info.start_time / 1000
            self.client.update_run(self._parent, status="RUNNING")
            return
        note = f"`{command}`" if command else ""
        tags = {"stage": "sweep", "run": run, naming.IDENTITY: key, "mlflow.note.content": note}
        made = self.client.create_run(self._experiment, tags=tags, run_name=run)
        self._parent, self._began = made.info.run_id, made.info.start_time / 1000
        shown = experiment.model_dump(mode="json", include={"data", "model", "train", "evaluate", "search"})
        self.batch(self._parent, [], naming.flat(shown))
        self.client.log_text(self._parent, experiment.model_dump_json(indent=2), "experiment.json")

    def _log(self, record: Record) -> None:
        key = naming.identity(*record.identity)
        run_id = self.reuse(key, naming.digest(record))
        if run_id is not None:
            return
        trained = self._models.get(lineage.key_of(record)) if record.of_method else None
        note = lineage.note(record, trained, self._experiment)
        seconds = sum(record.timings.values())
        run_id = self.child(naming.name(record), naming.tags(record), record.created, seconds, note)
        if record.stage == "train" and record.status == "ok":
            trained = lineage.log_model(self.client, self._experiment, run_id, record)
            self._models[lineage.key_of(record)] = trained
        self._fill(run_id, record, trained)

    def reuse(self, key: str, digest: str) -> str | None:
        """The finished run with this content; an outdated or half-written one is deleted."""
        found = self._existing.pop(key, None)
        if found is None:
            return None
        if found.data.tags.get(naming.DIGEST) == digest and found.info.status in ("FINISHED", "FAILED"):
            self.counts["unchanged"] += 1
            return str(found.info.run_id)
        lineage.forget(self.client, found)
        self.counts["replaced"] += 1
        return None

    def child(
        self, name: str, tags: dict[str, str], created: str, seconds: float, note: str = "", nested: bool = True
    ) -> str:
        """A new run, below the sweep's unless it is to be seen first."""
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        end = naming.milliseconds(created)
        everything = tags | ({MLFLOW_PARENT_RUN_ID: self._parent} if nested else {})
        if note:
            everything["mlflow.note.content"] = note
        made = self.client.create_run(
            self._experiment, start_time=end - int(1000 * seconds), tags=everything, run_name=name
        )
        self.counts["logged"] += 1
        return str(made.info.run_id)

    def _fill(self, run_id: str, record: Record, trained: lineage.Trained | None) -> None:
        from mlflow.entities import Metric

        end = naming.milliseconds(record.created)
        known = {key: value for key, value in record.metrics.items() if key != "loss"}
        its = lineage.metric_of_model(record, trained)
        metrics = [Metric(naming.clean(key), value, end, 0, **its) for key, value in known.items()]
        seconds = [Metric(f"seconds_{naming.clean(key)}", value, end, 0) for key, value in record.timings.items()]
        lines: list[Metric] = []
        if record.stage == "train":
            points = curve(record, self.store)
            lines = [Metric(naming.clean(key), value, end, step) for (key, step), value in points.items()]
            lines += system.of_training(record, self.store)
        self.batch(run_id, metrics + seconds + lines, naming.parameters(record))
        image = strip(record, self.store)
        if image is not None:
            self.client.log_image(run_id, image, artifact_file="samples.png")
        lineage.log_inputs(self.client, run_id, record, trained)
        facts = record.model_dump_json(indent=2, include={"training", "measurement", "sampling", "provenance"})
        self.client.log_text(run_id, facts, "record.json")
        status = "FAILED" if record.status == "failed" else "FINISHED"
        self.client.set_terminated(run_id, status, end)

    def batch(self, run_id: str, metrics: list[Any], parameters: dict[str, str]) -> None:
        """As few transactions as MLflow's limits allow: each costs tens of milliseconds."""
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in parameters.items()]
        while metrics or params:
            now, later = params[:PARAMETERS], params[PARAMETERS:]
            room = CHUNK - len(now)
            self.client.log_batch(run_id, metrics=metrics[:room], params=now)
            metrics, params = metrics[room:], later

    def _complete(self) -> bool:
        """Log what earlier attempts at this run left in the store; whether the records of the run are all known."""
        if self._synced:
            return True
        if not (self.store / records_file.RECORDS_FILE).exists():
            return False
        for record in records_file.read(self.store):
            if record.run == self._run and record.identity not in self._records:
                self._records[record.identity] = record
                self._log(record)
        return True

    def _finish(self, report: Path | None, head: str) -> None:
        from rpe2d_bench.tracking.series import log_means, log_series

        complete = self._complete()
        records = list(self._records.values())
        log_series(self, records)
        log_means(self, records)
        for stale in self._existing.values() if complete else ():
            if stale.data.tags.get("stage") not in ("sweep", None):
                lineage.forget(self.client, stale)
        if report is not None and Path(report).is_dir():
            self.client.log_artifacts(self._parent, str(report), "report")
        source = next((naming.source(record) for record in records if record.provenance.command), {})
        for name, value in source.items():
            self.client.set_tag(self._parent, name, value)
        if head:
            command = next((f"\n\n`{r.provenance.command}`" for r in records if r.provenance.command), "")
            self.client.set_tag(self._parent, "mlflow.note.content", head + command)
        failed = any(record.status == "failed" for record in records)
        self.client.set_terminated(self._parent, "FAILED" if failed else "FINISHED")


def sync(
    store: Path,
    uri: str | None,
    records: Iterable[Record],
    warn: Callable[[str], None] = LOG.warning,
    describe: Callable[[list[Record]], str] = lambda _: "",
) -> dict[str, int]:
    """Rebuild the view of every run in the records; doing it again changes nothing.

    describe: gives the head of a run's report as Markdown.
    Returns how many MLflow runs were logged, left as they were, and replaced.
    """
    runs: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        runs.setdefault((record.experiment, record.run), []).append(record)
    total = {"logged": 0, "unchanged": 0, "replaced": 0}
    for (name, run), found in runs.items():
        tracker = Tracker(uri, store, warn)
        newest = found[-1]
        tracker.start(name, run, newest.config.experiment, newest.provenance.command)
        tracker._synced = True
        for record in sorted(found, key=lambda r: r.stage != "train"):
            tracker.log(record)
        tracker.finish(head=describe(found))
        total = {name: count + tracker.counts[name] for name, count in total.items()}
        if not tracker.alive:
            break
    return total
