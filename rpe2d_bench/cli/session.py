"""What the commands `run` and `report` do around the runner: plan, display, MLflow, report, the last words."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.analysis.verified import verified
from rpe2d_bench.cli.console import Opening, open_console, put_line
from rpe2d_bench.cli.view import duration
from rpe2d_bench.config import yaml_file
from rpe2d_bench.config.header import as_written
from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.runner import Engine, run
from rpe2d_bench.storage import records
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store
from rpe2d_bench.storage.unwritable import require_folder

if TYPE_CHECKING:
    from rich.console import Console

    from rpe2d_bench.resolve.resolve import Resolved


def run_experiment(
    path: Path,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    *,
    store: Path,
    engine: Engine,
    tracking_uri: str | None,
    reports: Path,
    opening: Opening,
) -> None:
    """Run an experiment file to its end. tracking_uri: None leaves MLflow out, '' is the store's own."""
    with opening:
        opening.phase("reading the experiment, importing torch")
        from rpe2d_bench import report
        from rpe2d_bench.analysis.significance import separate
        from rpe2d_bench.cli.live_display import Display
        from rpe2d_bench.plan.expand import make_plan
        from rpe2d_bench.plan.gpus import with_gpus
        from rpe2d_bench.plan.precision import Precisions
        from rpe2d_bench.resolve.load import load

        resolved = load(path, overrides, only)
        require_folder(reports / resolved.experiment.name, "--reports")
        searched: dict[str, Any] | None = None
    console, began, place = opening.console, opening.began, Store(store)
    if resolved.experiment.search is not None:
        resolved, searched = _searched(path, overrides, only, place, engine, console)
    with opening:
        opening.phase("planning")
        from rpe2d_bench.cli.plan_view import show

        experiment = resolved.experiment
        plan = make_plan(resolved, overrides, Precisions(place, experiment.resources, console.print))
        plan = with_gpus(plan, place, console.print if console.is_terminal else lambda _: None)
        show(plan, place, console, brief=True)
        nothing_missing = not (plan.missing_trainings(place) or plan.missing_measures(place))
    display = Display(plan, place, console, experiment.report.main_metric, began=began)
    listeners = [display.on_record, lambda _: report.preload()]
    tracker = None
    if tracking_uri is not None and not nothing_missing:
        from rpe2d_bench.tracking import BackgroundTracker

        tracker = BackgroundTracker(tracking_uri, place.root, plan.run, experiment, console.print)
        listeners.append(tracker.log)
    seeds = experiment.seeds

    def first_look(seed: int) -> None:
        early = [record for record in records.read(place.root) if record.run == plan.run and record.seed == seed]
        printed = f"seed {seed} is complete, {seeds.index(seed) + 1} of {len(seeds)}: a first look"
        console.print(printed, style="bold", highlight=False)
        console.print(report.terminal_table([_alone(record) for record in early]))

    display.on_first_look(first_look)
    with display:
        found = run(
            plan, place, engine=engine, written=as_written(path), listeners=tuple(listeners), searched=searched,
            watch=display,
        )  # fmt: skip
        display.phase("comparing the methods")
        found = verified(found, place, partial(_say, console))
        compared = separate(found, place.root, say=partial(_say, console))
        display.phase("writing the report")
        page = report.render(found, place.root, reports / experiment.name, compared)
        if tracker:
            display.phase("finishing MLflow's view")
            tracker.finish(page.parent, report.description(found, compared))
    console.print(report.terminal_table(found, compared))
    failed = sum(record.status == "failed" for record in found)
    if failed:
        console.print(f"{failed} results failed; the report lists them, and the same command tries them again")
    put_line(console, f"report: {page} ({duration(time.time() - began)})")
    console.print("next:   rpe2d-bench ui, or the same command again after a change: what is done is kept")
    if failed:
        raise SystemExit(1)


def _searched(
    path: Path, overrides: tuple[str, ...], only: tuple[str, ...], store: Store, engine: Engine, console: Console
) -> tuple[Resolved, dict[str, Any]]:
    """The experiment with the values of its search, and how they were chosen."""
    from rpe2d_bench.cli.search_display import SearchDisplay
    from rpe2d_bench.plan.expand import Plan
    from rpe2d_bench.resolve.load import keep_methods, load
    from rpe2d_bench.resolve.resolve import resolve
    from rpe2d_bench.runner.search import search

    whole = load(path, overrides)  # a model is judged by the file's first method on it
    display = SearchDisplay(Plan(whole, overrides, (), ()), store, console)
    with display:
        chosen, table = search(
            whole.experiment,
            store,
            engine=engine,
            methods=only,
            on_record=display.on_notice,
            begun=display.search_begun,
        )
    return resolve(keep_methods(chosen, only) if only else chosen), table


def _alone(record: Record) -> Record:
    """The record as of an experiment of its seed alone."""
    return record.as_of(record.config.experiment.model_copy(update={"seeds": (record.seed,)}))


def write_reports(sources: list[Path], store: Path, reports: Path) -> None:
    """The report of the latest run, an experiment's latest, a run by name, or a records file; two are compared."""
    from rpe2d_bench import report
    from rpe2d_bench.analysis.results import results_of
    from rpe2d_bench.analysis.significance import separate

    console = open_console()
    runs = [_records_of(source, store) for source in sources] or [_latest(records.read(store), None)]
    if len(runs) > 2:
        raise UserError(f"report takes one or two sources, got {len(runs)}")
    roots = [_root(source, store) for source in sources] or [store.resolve()]
    runs = [verified(found, Store(root), partial(_say, console)) for found, root in zip(runs, roots, strict=True)]
    if len(runs) == 2:
        page = report.render_comparison(runs[0], runs[1], roots[0], roots[1], reports / _versus(runs))
    else:
        compared = separate(runs[0], roots[0], say=partial(_say, console))
        run, experiment = runs[0][0].run, runs[0][0].experiment
        results = results_of(runs[0], compared)
        folder = reports / (run if run in map(str, sources) else experiment)
        require_folder(folder, "--reports")
        page = report.render(results, roots[0], folder)
        console.print(report.terminal_table(results))
    put_line(console, f"report: {page}")


def _say(console: Console, sentence: str) -> None:
    put_line(console, sentence, "yellow")


def _records_of(source: Path, store: Path) -> list[Record]:
    if source.suffix == ".jsonl" or source.is_dir():
        return _latest(records.read(source), None)
    if not source.suffix and not source.exists():
        found = records.read(store)
        if named := [record for record in found if record.run == str(source)]:
            return named
        if str(source) in (experiments := {record.experiment for record in found}):
            return _latest(found, str(source))
        raise unknown("run", str(source), experiments | {record.run for record in found})
    name = yaml_file.read(source).data.get("name")
    return _latest(records.read(store), str(name))


def _latest(found: list[Record], experiment: str | None) -> list[Record]:
    run_name = records.latest_run(found, experiment)
    if run_name is None:
        which = f"of {experiment!r} " if experiment else ""
        raise UserError(f"the store has no records {which}yet; run it first: rpe2d-bench run experiments/NAME.yaml")
    return [record for record in found if record.run == run_name]


def _root(source: Path, store: Path) -> Path:
    if source.suffix == ".jsonl":
        return source.resolve().parent
    return (source if source.is_dir() else store).resolve()


def _versus(runs: list[list[Record]]) -> str:
    first, second = (found[0] for found in runs)
    names = (first.experiment, second.experiment) if first.experiment != second.experiment else (first.run, second.run)
    return f"{names[0]}_vs_{names[1]}"
