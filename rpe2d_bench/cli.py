"""The command line: files configure, commands select. The only importer of typer.

Everything heavy is imported inside a command, so that help and mistakes answer at once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.errors import UserError

app = typer.Typer(
    help="Which positional encoding lets a diffusion transformer generate at resolutions it never trained on?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml", help="An experiment file.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="PATH.TO.KEY=VALUE", help="Override a value of the file; VALUE is YAML.")
]
Only = Annotated[list[str], typer.Option("--only", metavar="METHOD", help="Keep this method; may be repeated.")]
StoreFolder = Annotated[Path, typer.Option("--store", metavar="DIR", help="Where results live.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
DEFAULT_STORE = Path("runs")
STOPPED = 130  # the exit code into which typer turns Ctrl-C


def main() -> None:
    """Run a command; what the user can mend is one sentence and exit code 2."""
    for name, value in {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except OSError as error:  # what was to be written cannot be; the store's own failures are sentences already
        if error.errno is None or error.filename is None:
            raise
        reason = os.strerror(error.errno)
        typer.echo(f"error: {error.filename}: {reason}; choose another with --store, --reports or --out", err=True)
        raise SystemExit(2) from None
    except SystemExit as ended:
        if ended.code == STOPPED:
            typer.echo("stopped; the same command continues where this one ended", err=True)
        raise


@app.command()
def run(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006 - typer wants a list
    only: Only = [],  # noqa: B006
    store: StoreFolder = DEFAULT_STORE,
    engine: Annotated[str, typer.Option(help="ray, or local: one stage after the other in this process.")] = "ray",
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow; by default a SQLite file in the store.")] = None,
    no_mlflow: Annotated[bool, typer.Option("--no-mlflow", help="Leave MLflow for a later `sync`.")] = False,
    reports: Annotated[Path, typer.Option(metavar="DIR", help="Where the report is written.")] = Path("reports"),
) -> None:
    """Train, sample and measure what is missing, log it to MLflow and write the report."""
    from rpe2d_bench.session import run_experiment

    if engine not in ("ray", "local"):
        raise UserError(f"--engine {engine}: write ray or local")
    run_experiment(
        experiment,
        tuple(overrides),
        tuple(only),
        store=store,
        engine=engine,  # type: ignore[arg-type]
        tracking_uri=None if no_mlflow else tracking_uri or "",
        reports=reports,
    )


@app.command()
def plan(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006
    only: Only = [],  # noqa: B006
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Show the stages of an experiment, which of them are cached, and what the rest will cost."""
    from rpe2d_bench import plan_view
    from rpe2d_bench.plan import make_plan
    from rpe2d_bench.search.known import load
    from rpe2d_bench.store import Store

    chosen, searching = load(experiment, overrides, only, Store(store))
    made = make_plan(chosen, tuple(overrides))
    if as_json:
        typer.echo(json.dumps(plan_view.as_dict(made, Store(store), searching), indent=1))
    else:
        plan_view.show(made, Store(store), searching=searching)


@app.command()
def validate(experiment: ExperimentFile, overrides: Overrides = []) -> None:  # noqa: B006
    """Check an experiment file without running anything."""
    from rpe2d_bench import loading

    loaded = loading.load(experiment, overrides)
    methods, models = len(loaded.methods), len(loaded.models)
    search = f", after a search of {loaded.search.trials} trials an entry" if loaded.search else ""
    typer.echo(f"{experiment}: valid; {methods} methods on {models} models, {len(loaded.seeds)} seeds{search}")


@app.command()
def report(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[EXPERIMENT.yaml | RECORDS.jsonl]...", help="Two are compared; none: the latest run."),
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
    reports: Annotated[Path, typer.Option(metavar="DIR", help="Where the report is written.")] = Path("reports"),
) -> None:
    """Write the report of a run from its records."""
    from rpe2d_bench.session import write_reports

    write_reports(sources or [], store, reports)


def _kinds(incomplete: str) -> list[str]:
    """For the shell's completion."""
    from rpe2d_bench.listing import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


@app.command("ls")
def ls(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[KIND]", help="encodings, positions, metrics, ...", autocompletion=_kinds),
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """List what can be written in an experiment file, and the runs of the store."""
    from rpe2d_bench import listing

    if as_json:
        typer.echo(json.dumps(listing.as_dict(kind, store), indent=1))
    else:
        listing.show(kind, store)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `ls` lists, or records.")],
    grid: Annotated[str, typer.Option(metavar="HxW", help="Of methods: tokens now.")] = "24x24",
    train_grid: Annotated[str, typer.Option(metavar="HxW", help="Tokens in training.")] = "16x16",
    t: Annotated[float, typer.Option(help="Time: 0 = data, 1 = noise.")] = 0.5,
    head_width: Annotated[int, typer.Option(help="Channels of a head.")] = 64,
    option: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="An option of the method.")] = [],  # noqa: B006
    figure: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a figure (.png, .svg, .pdf).")] = None,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """What a name means: data sets, crops, metrics, nets, experiments, runs; of methods also what they really do."""
    from rpe2d_bench import showing

    asked = (name, grid, train_grid, t, head_width, option, store)
    if as_json:
        typer.echo(json.dumps(showing.as_dict(*asked), indent=1))
    else:
        showing.show(*asked)
    if figure is not None:
        showing.draw(*asked, figure)
        typer.echo(f"figure: {figure}", err=as_json)


@app.command()
def check(
    target: Annotated[str, typer.Argument(metavar="NAME | MODULE:CLASS", help="An entry of `ls`, or your own class.")],
) -> None:
    """Run the conformance suite on an encoding, a rule of positions, frequencies or logit scale."""
    from rpe2d_bench.showing import check_method

    if not check_method(target):
        raise SystemExit(1)


@app.command()
def sample(
    experiment: ExperimentFile,
    method: Annotated[str, typer.Option(help="A method of the experiment.")],
    resolution: Annotated[str, typer.Option(metavar="HxW", help="Pixels; 48 is 48x48.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the pictures go (.png grid or .npz).")],
    count: Annotated[int, typer.Option(help="Pictures.")] = 64,
    seed: Annotated[int | None, typer.Option(help="A seed of the experiment; by default its first.")] = None,
    overrides: Overrides = [],  # noqa: B006
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Generate pictures of one method at any resolution, from the trained model in the store."""
    from rpe2d_bench.sampling import sample_method

    sample_method(experiment, tuple(overrides), method, resolution, out, count, seed, store)


@app.command()
def measure(
    samples: Annotated[Path, typer.Argument(metavar="SAMPLES", help="Folder, .zip, or .npz with arr_0.")],
    reference: Annotated[Path, typer.Option(metavar="DIR_OR_NPZ", help="Real pictures of the same size.")],
    metrics: Annotated[str, typer.Option(help="Names, separated by commas.")] = "fd,kid,precision,recall",
    features: Annotated[str, typer.Option("--features", "--net", help="Feature net.")] = "efficientnet-lite0",
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Of inception or dinov2.")] = None,
    judge: Annotated[str | None, typer.Option(help="Classifier of the accuracy; classes are arr_1.")] = None,
    train_resolution: Annotated[str | None, typer.Option(metavar="HxW", help="For global and local metrics.")] = None,
    training: Annotated[Path | None, typer.Option(metavar="DIR_OR_NPZ", help="For the memorization check.")] = None,
    count: Annotated[int | None, typer.Option(help="Pictures of each side; by default all.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure anybody's pictures against real ones."""
    from rpe2d_bench.measuring import Request, measure_files
    from rpe2d_bench.sampling import parse_resolution

    train = None if train_resolution is None else parse_resolution(train_resolution)
    names = [name.strip() for name in metrics.split(",")]
    measure_files(Request(samples, reference, names, features, weights, judge, train, training, count, device), as_json)


@app.command()
def unpack(
    files: Annotated[list[Path], typer.Argument(metavar="OUT...", help="The folder that was written, or its files.")],
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Put what `python -m rpe2d_bench.detached run` made on another machine into the store."""
    from rpe2d_bench.detached.packing import unpack as put
    from rpe2d_bench.store import Store

    new, there = put(files, Store(store))
    typer.echo(f"{new} stages put into {store}, {there} were there; next: rpe2d-bench run EXPERIMENT.yaml")


@app.command()
def sync(
    store: StoreFolder = DEFAULT_STORE,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow; by default a SQLite file in the store.")] = None,
) -> None:
    """Rebuild MLflow from the records of the store."""
    from rpe2d_bench import records, tracking

    found = records.read(store)
    failures: list[str] = []
    tracking.sync(store, tracking_uri or tracking.default_uri(store), found, failures.append)
    if failures:
        raise UserError(" ".join(failures[0].split()))
    typer.echo(f"{len(found)} records in {tracking_uri or tracking.default_uri(store)}; next: rpe2d-bench ui")


@app.command()
def ui(
    store: StoreFolder = DEFAULT_STORE,
    port: Annotated[int, typer.Option(help="On this machine only.")] = 5000,
) -> None:
    """Open the MLflow UI on the store."""
    from rpe2d_bench import tracking

    typer.echo(f"MLflow at {tracking.ui_address(store, port)} (Ctrl-C stops it)")
    command = tracking.ui_command(store, port)
    os.execve(command[0], command, {**os.environ, **tracking.ENVIRONMENT})
