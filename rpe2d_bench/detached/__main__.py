"""The commands of a bare machine: prepare, run, unpack."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: done; 3: to be continued by the same command; 2: what the user can mend, in one sentence."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.command(asked))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rpe2d_bench.detached", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    prepare = commands.add_parser("prepare", help="write the job of an experiment, where everything is installed")
    run = commands.add_parser("run", help="train and sample until the time is over, then pack what is finished")
    unpack = commands.add_parser("unpack", help="put packed files into a store")
    prepare.add_argument("experiment", type=Path)
    prepare.add_argument("--job", type=Path, default=Path("job.json"), help="where it is written")
    run.add_argument("experiment", type=Path, metavar="JOB.json | EXPERIMENT.yaml")
    for command in (prepare, run):
        command.add_argument("--set", dest="overrides", action="append", default=[], metavar="PATH.TO.KEY=VALUE")
        command.add_argument("--only", action="append", default=[], metavar="METHOD")
    run.add_argument(
        "--limit", type=float, default=540.0, help="seconds of training and sampling; packing comes on top"
    )
    run.add_argument("--out", type=Path, help="where what is finished is packed; without it, nothing is")
    run.add_argument("--most", type=float, default=60.0, help="MiB of all packed files of this call; the rest waits")
    run.add_argument("--no-weights", action="store_true", help="bring no weights back: samples and curves only")
    run.add_argument("--again", action="store_true", help="pack also what was packed before")
    run.add_argument("--device", help="instead of the experiment's resources.device")
    run.add_argument("--data", help="where the images lie on this machine")
    run.add_argument("--autoencoder", help="where the autoencoder lies on this machine")
    unpack.add_argument("files", type=Path, nargs="+", help="the folder that was written, or its files")
    for command in (run, unpack):
        command.add_argument("--store", type=Path, default=Path("runs"))
    prepare.set_defaults(command=_prepare)
    run.set_defaults(command=_run)
    unpack.set_defaults(command=_unpack)
    return parser


def _prepare(asked: argparse.Namespace) -> int:
    from rpe2d_bench.detached.job import prepare

    job = prepare(asked.experiment, asked.overrides, asked.only)
    asked.job.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.job, job)
    _say(f"{asked.job}: {len(job['trainings'])} trainings, {len(job['samples'])} samplings of {job['run']}")
    return 0


def _run(asked: argparse.Namespace) -> int:
    store = Store(asked.store)
    written = _job(asked, store)
    from rpe2d_bench.detached.job import resolved
    from rpe2d_bench.detached.packing import pack
    from rpe2d_bench.detached.work import work

    job = resolved(written, asked.data, asked.autoencoder)
    done = work(job, store, asked.limit, asked.device, _say)
    wanted = [("train", stage.key) for stage in job.trainings.values()]
    wanted += [("sample", stage.key) for stage in job.samples]
    finished = sum(store.has(*address) for address in wanted)
    _say(f"{finished} of {len(wanted)} stages are finished")
    if asked.out is not None:
        most, weights = round(asked.most * 2**20), not asked.no_weights
        packed, waiting = pack(
            store, job.run, wanted, asked.out, most=most, weights=weights, again=asked.again, made_with=_made_with()
        )
        rest = f"; {len(waiting)} more wait for the next call" if waiting else ""
        _say(f"{len(packed)} stages packed in {asked.out}{rest}")
        done = done and not waiting
    return 0 if done else 3


def _job(asked: argparse.Namespace, store: Store) -> dict[str, object]:
    """The job of the command line, with stand-ins for what this machine lacks."""
    from rpe2d_bench.detached import stand_ins

    if asked.experiment.suffix == ".json":
        from rpe2d_bench.detached.job import read

        if asked.overrides or asked.only:
            raise UserError("--set and --only belong to `prepare`; a job is resolved already")
        job = read(asked.experiment)
        if missing := stand_ins.provide(store.root / "detached"):
            _say(f"not installed here, replaced: {', '.join(missing)}")
        try:
            import PIL  # noqa: F401
        except ImportError:
            raise UserError("Pillow is not installed here; carry its wheel and put it on PYTHONPATH") from None
        return job
    try:
        from rpe2d_bench.detached.job import prepare

        stand_ins.provide(store.root / "detached")
        return json.loads(json.dumps(prepare(asked.experiment, asked.overrides, asked.only)))
    except ImportError as error:
        raise UserError(
            f"this machine cannot read an experiment file ({error}); where everything is installed, run: python -m "
            f"rpe2d_bench.detached prepare {asked.experiment} --job job.json, and carry job.json"
        ) from None


def _unpack(asked: argparse.Namespace) -> int:
    from rpe2d_bench.detached.packing import unpack

    new, there = unpack(asked.files, Store(asked.store))
    _say(f"{new} stages put into {asked.store}, {there} were there; next: rpe2d-bench run EXPERIMENT.yaml")
    return 0


def _made_with() -> dict[str, str]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"torch": str(torch.__version__), "python": platform.python_version(), "device": device}


def _say(message: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
