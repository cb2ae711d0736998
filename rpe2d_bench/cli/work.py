"""The command `work`: stages of an experiment in this process, beside any number of others on the same store."""

from __future__ import annotations

import re
import signal
import time
from typing import Annotated, Any

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, ExperimentFile, Only, Overrides, StoreFolder, app
from rpe2d_bench.errors import UserError

UNITS = {"s": 1, "m": 60, "h": 3600}
FAILED, LEFT = 1, 3  # exit codes; 0: everything that was asked for is in the store
EVERY = 30.0  # seconds between two lines of one stage


@app.command()
def work(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006
    only: Only = [],  # noqa: B006
    store: StoreFolder = DEFAULT_STORE,
    time_limit: Annotated[
        str | None, typer.Option(metavar="10m", help="Stop at a checkpoint after so many s, m or h.")
    ] = None,
    stages: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Only some of train, reference, sample, measure, denoise.")
    ] = None,
) -> None:
    """Make the stages that nobody else works on, without Ray and MLflow; `run` then only records and reports.

    Any number of processes may share a store. Exit code 0: all is there. 3: work is left, the same command continues.
    1: a stage failed, and nothing else can be done.
    """
    until = None if time_limit is None else time.monotonic() + seconds(time_limit)
    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.plan.precision import Precisions
    from rpe2d_bench.resolve.load import load_experiment
    from rpe2d_bench.runner.work import NAMES, make_stages, names_of
    from rpe2d_bench.stages.run_context import RunContext
    from rpe2d_bench.storage.exchange import send
    from rpe2d_bench.storage.store import Store

    names = NAMES if stages is None else names_of(stages)
    loaded = load_experiment(experiment, overrides, only)
    if loaded.search is not None:
        raise UserError(
            "search: its trials need Ray Tune; use `rpe2d-bench run`, or leave it out with --set search=null"
        )
    shared, lines = Store(store, wait=False), Lines()
    plan = make_plan(loaded, tuple(overrides), Precisions(shared, loaded.resources, lines.say))
    send(shared)  # the arithmetic that was chosen here, which keys depend on
    context = RunContext(shared, loaded.resources, lines.say, lines, until=until)

    def stop(*_: object) -> None:
        context.until = time.monotonic()  # as if the time were over: what batch systems send before they kill

    signal.signal(signal.SIGTERM, stop)
    outcome = make_stages(plan, context, names)
    for sentence in outcome.sentences:
        lines.say(sentence)
    if outcome.left:
        raise SystemExit(FAILED if outcome.failed and not context.out_of_time else LEFT)


def seconds(text: str) -> float:
    """Of '90', '90s', '10m' or '1.5h'; raises UserError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None:
        raise UserError(f"--time-limit {text}: write a number with s, m or h, such as 10m")
    return float(found[1]) * UNITS[found[2] or "s"]


class Lines:
    """What a stage reports, as lines with the time: its first report, and one every half minute."""

    def __init__(self) -> None:
        self._stage, self._printed = "", 0.0

    def say(self, sentence: str) -> None:
        typer.echo(f"{time.strftime('%H:%M:%S')} {sentence}")

    def __call__(self, stage: str, key: str, done: int, total: int, facts: dict[str, Any]) -> None:
        name, now = f"{stage} {key[:8]}", time.monotonic()
        if name == self._stage and now - self._printed < EVERY:
            return
        self._stage, self._printed = name, now
        numbers = [f"{fact} {facts[fact]:.4g}" for fact in ("loss", "images_per_second") if fact in facts]
        parts = [str(facts.get("phase", "")), f"{done:,} of {total:,}" if total else "", *numbers]
        self.say(f"  {name}: " + ", ".join(part for part in parts if part))
