"""What stored observations say of the luck of the images: the floor's interval, and differences with one seed.

With two or more training seeds differences rest on the seeds (analysis/differences.py), which records alone hold.
Results are plain dictionaries, so that the report, which imports no metrics, can show them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rpe2d_bench.analysis.by_images import REFERENCE
from rpe2d_bench.analysis.kept_comparison import KeptComparison
from rpe2d_bench.analysis.real_names import REAL
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.record_parts import Artifacts
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store

VERSION = "3"
RESAMPLES = 4000
KINDS = ("kid", "fd")
CELLS_AT_ONCE = 4  # at most: with 50,000 images each holds several GiB of resamples

Cell = dict[str, dict[int, Record]]  # method -> seed -> record, of one train and test resolution


def separate(
    records: Iterable[Record], store: Path, resamples: int = RESAMPLES, say: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """The floor's distance of every size, and every pair of methods where one seed is all there is.

    Observations that are gone or damaged are left out, unless what they gave is known from before; `say` hears which.
    Each entry: metric (recorded name), train_resolution, test_resolution and the fields of
    analysis.paired_bootstrap.Comparison.
    """
    cells: dict[tuple[Size, Size], Cell] = {}
    floors: dict[tuple[Size, Size], dict[int, Record]] = {}
    for record in records:
        whole = record.status == "ok" and record.seed is not None
        if not (whole and record.train_resolution and record.test_resolution):
            continue
        where = (record.train_resolution, record.test_resolution)
        if record.stage == "floor":
            floors.setdefault(where, {})[int(record.seed or 0)] = record
        elif record.stage == "measure" and record.method and record.artifacts.observations:
            cells.setdefault(where, {}).setdefault(record.method, {})[int(record.seed or 0)] = record
    questions: list[tuple[tuple[Size, Size], Cell]] = []
    for where, cell in cells.items():
        if len({seed for by_seed in cell.values() for seed in by_seed}) == 1:
            questions.append((where, cell))
        if floor := _floor(floors.get(where, {}), cell):
            questions.append((where, {REAL: floor}))
    gone: list[str] = []
    found = _at_once(lambda question: _cached(question[1], Path(store), resamples, say, gone), questions)
    if gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        say(
            f"{gone[0]}{more}: {Path(gone[0]).name} is missing; what needs it is left out of the comparisons by images"
            " until `run` makes it again"
        )
    return [
        entry | {"train_resolution": list(train), "test_resolution": list(test)}
        for ((train, test), _), entries in zip(questions, found, strict=True)
        for entry in entries
    ]


def _floor(floors: dict[int, Record], cell: Cell) -> dict[int, Record]:
    """The floor's records with the files of observations that they were measured by: those of its images' stage."""
    references = {r.artifacts.reference_observations for by_seed in cell.values() for r in by_seed.values()}
    reference = references.pop() if len(references) == 1 else None
    if reference is None:
        return {}
    return {
        seed: record.model_copy(
            update={
                "artifacts": Artifacts(
                    observations=str(Path(record.artifacts.samples).with_name("observations.npz")),
                    reference_observations=reference,
                )
            }
        )
        for seed, record in floors.items()
        if record.artifacts.samples
    }


def _at_once(compare: Callable[[Any], list[dict[str, Any]]], cells: Iterable[Any]) -> list[list[dict[str, Any]]]:
    """Compare several cells at once, each by one thread: a cell's matrices are too small for many."""
    with threadpool_limits(1), ThreadPoolExecutor(min(CELLS_AT_ONCE, os.cpu_count() or 1)) as pool:
        return list(pool.map(compare, cells))


def _cached(
    cell: Cell, store: Path, resamples: int, say: Callable[[str], None], gone: list[str]
) -> list[dict[str, Any]]:
    """What a cell's observations show, from before if it was worked out then; those that are not there join `gone`."""
    seeds = set.union(*(set(by_seed) for by_seed in cell.values()))
    paths = {
        method: tuple(str(by_seed[seed].artifacts.observations) for seed in sorted(seeds))
        for method, by_seed in cell.items()
        if set(by_seed) == seeds
    }
    references = {r.artifacts.reference_observations for by_seed in cell.values() for r in by_seed.values()}
    reference = references.pop() if len(references) == 1 else None
    if reference is None or not _comparable(paths):
        return []
    known = KeptComparison(Store(store), VERSION, resamples, paths, reference)
    if (entries := known.read(say)) is not None:
        return entries
    damage = known.damage()
    for path, reason in damage.items():
        if not (store / path).is_file():
            gone.append(path)
            continue
        users = ", ".join(method for method, observed in paths.items() if path in observed) or "everything"
        say(f"{path}: {reason}; {users} is left out of the comparisons until `run` makes it again")
    paths = {method: observed for method, observed in paths.items() if not set(observed) & set(damage)}
    if reference in damage or not _comparable(paths):
        return []
    known = KeptComparison(Store(store), VERSION, resamples, paths, reference)
    if damage and (entries := known.read(say)) is not None:
        return entries
    found = _compare(cell, paths, store, reference, resamples)
    known.write(found)
    return found


def _comparable(paths: dict[str, tuple[str, ...]]) -> bool:
    """Two sets of images, or real ones, which are compared with their reference."""
    return REAL in paths or len(set(paths.values())) > 1


def _compare(
    cell: Cell, paths: dict[str, tuple[str, ...]], store: Path, reference: str, resamples: int
) -> list[dict[str, Any]]:
    from rpe2d_bench.analysis.paired_bootstrap import against_zero, compare
    from rpe2d_bench.metrics import load_observations

    real = load_observations(store / reference)
    if "whole" not in real.views:
        return []
    sharing: dict[tuple[str, ...], list[str]] = {}  # methods that coincide at this size share their images
    for method, observed in paths.items():
        sharing.setdefault(observed, []).append(method)
    features = {
        methods[0]: [load_observations(store / path).views["whole"].features_ND for path in observed]
        for observed, methods in sharing.items()
    }
    labels, real_labels = _labels(cell, store, reference)
    alike = {methods[0]: methods for methods in sharing.values()}
    recorded = {key for by_seed in cell.values() for record in by_seed.values() for key in record.metrics}
    options: dict[str, Any] = {"labels": labels, "reference_labels": real_labels, "resamples": resamples}
    reference_MD = real.views["whole"].features_ND
    found: list[dict[str, Any]] = []
    if REAL in features:
        if (name := f"kid_{real.net}") in recorded:
            floor = against_zero(REAL, REFERENCE, features[REAL], reference_MD, "kid", **options)
            found.append(dataclasses.asdict(floor) | {"metric": name, "compared": 1})
        return found
    for kind in KINDS:
        name = f"{kind}_{real.net}"
        if name not in recorded:
            continue
        for pair in compare(features, reference_MD, kind, **options):  # type: ignore[arg-type]
            for one in alike[pair.method]:
                for other in alike[pair.against]:
                    entry = dataclasses.asdict(pair) | {"method": one, "against": other, "metric": name}
                    found.append(entry | {"compared": len(features) * (len(features) - 1) // 2})
    return found


def _labels(cell: Cell, store: Path, reference: str) -> tuple[list[np.ndarray] | None, np.ndarray | None]:
    """Labels per seed, which all methods of a cell share, and those of the reference, as the scores used them.

    None where class counts are not fixed (evaluate.labels: iid): then images are independent draws.
    """
    by_seed = next(iter(cell.values()))
    if next(iter(by_seed.values())).config.experiment.evaluate.labels == "iid":
        return None, None
    known = (store / reference).with_name("labels.npy")
    files = [_label_file(by_seed[seed], store) for seed in sorted(by_seed)]
    if not known.is_file() or not all(file is not None and file.is_file() for file in files):
        return None, None
    return [np.load(f) if f.suffix == ".npy" else images_file.labels(f) for f in files if f], np.load(known)


def _label_file(record: Record, store: Path) -> Path | None:
    """Where the labels of a record's images are: beside the observations of real ones, else with the samples."""
    if record.stage == "floor":
        return (store / str(record.artifacts.observations)).with_name("labels.npy")
    return store / record.artifacts.samples if record.artifacts.samples else None
