"""Which differences of a run are more than the luck of its images: paired bootstrap over stored observations.

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

from rpe2d_bench.analysis.kept_comparison import Comparison
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.records import Record, Resolution
from rpe2d_bench.storage.store import Store

VERSION = "2"
RESAMPLES = 4000
KINDS = ("kid", "fd")
CELLS_AT_ONCE = 4  # at most: with 50,000 images each holds several GiB of resamples

Side = tuple[str, str]  # "first" or "second" run, method
Cell = dict[str, dict[int, Record]]  # method -> seed -> record, of one train and test resolution


def separate(
    records: Iterable[Record], store: Path, resamples: int = RESAMPLES, say: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """Every pair of methods at every test resolution, corrected per metric and resolution (Holm) over its pairs.

    Methods that lack a seed which others have are left out of that resolution, as are observations that are gone or
    damaged, unless what they gave is known from before; `say` hears which.
    Each entry: metric (recorded name), train_resolution, test_resolution and the fields of
    analysis.paired_bootstrap.Comparison.
    """
    cells: dict[tuple[Resolution, Resolution], Cell] = {}
    for record in records:
        whole = record.stage == "measure" and record.status == "ok" and record.method and record.seed is not None
        if whole and record.train_resolution and record.test_resolution and record.artifacts.observations:
            cell = cells.setdefault((record.train_resolution, record.test_resolution), {})
            cell.setdefault(str(record.method), {})[int(record.seed or 0)] = record
    places = [{"train_resolution": list(train), "test_resolution": list(test)} for train, test in cells]
    found = _at_once(lambda cell: _cached(cell, Path(store), resamples, say), cells.values())
    return [entry | place for place, entries in zip(places, found, strict=True) for entry in entries]


def _at_once(compare: Callable[[Any], list[dict[str, Any]]], cells: Iterable[Any]) -> list[list[dict[str, Any]]]:
    """Compare several cells at once, each by one thread: a cell's matrices are too small for many."""
    with threadpool_limits(1), ThreadPoolExecutor(min(CELLS_AT_ONCE, os.cpu_count() or 1)) as pool:
        return list(pool.map(compare, cells))


def separate_runs(
    first: Iterable[Record],
    second: Iterable[Record],
    roots: tuple[Path, Path],
    resamples: int = RESAMPLES,
    say: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Every cell that two runs share, second against first, corrected per metric (Holm) over all such cells.

    Cells without common seeds, with another reference, or whose observations are gone are left out, as are those that
    are the same images; `say` hears of observations that are gone. Each entry: metric, method, train_resolution,
    test_resolution, difference, low, high, p_adjusted, seeds, covers.
    """
    cells: dict[tuple[Any, ...], dict[Side, dict[int, Record]]] = {}
    for side, run, root in (("first", first, roots[0]), ("second", second, roots[1])):
        for record in run:
            if record.stage == "measure" and record.status == "ok" and record.artifacts.observations:
                files = record.artifacts.below(Path(root).resolve())
                needed = [str(files.observations), files.reference_observations or "reference_observations"]
                if gone := [path for path in needed if not Path(path).is_file()]:
                    say(f"{gone[0]} is missing; {record.method} is left out of the comparison by samples there")
                    continue
                where = (
                    record.train_resolution,
                    record.test_resolution,
                    record.sampling and record.sampling.reference_key,
                )
                by_seed = cells.setdefault(where, {}).setdefault((side, str(record.method)), {})
                by_seed[int(record.seed or 0)] = record.model_copy(update={"artifacts": files})
    places, shared = [], []
    for (train, test, _), sides in cells.items():
        both = {method for side, method in sides if (_other(side), method) in sides}
        sides = {key: by_seed for key, by_seed in sides.items() if key[1] in both}
        if sides and set.intersection(*map(set, sides.values())):
            places.append({"train_resolution": train, "test_resolution": test})
            shared.append(sides)
    found = _at_once(lambda sides: _shared(sides, resamples), shared)
    return _corrected([entry | place for place, entries in zip(places, found, strict=True) for entry in entries])


def _other(side: str) -> str:
    return "second" if side == "first" else "first"


def _shared(sides: dict[Side, dict[int, Record]], resamples: int) -> list[dict[str, Any]]:
    """Second minus first of every method of one cell; all sets of images are resampled once."""
    seeds = sorted(set.intersection(*map(set, sides.values())))
    names = {f"{side} {method}": (side, method) for side, method in sides}
    cell = {name: {seed: sides[key][seed] for seed in seeds} for name, key in names.items()}
    paths = {name: tuple(str(r.artifacts.observations) for r in by_seed.values()) for name, by_seed in cell.items()}
    reference = str(next(iter(cell.values()))[seeds[0]].artifacts.reference_observations)
    found = []
    for entry in _compare(cell, paths, Path("/"), reference, resamples):
        (side, method), (_, other) = names[entry["method"]], names[entry["against"]]
        if method != other:
            continue
        if side == "first":
            entry |= {"difference": -entry["difference"], "low": -entry["high"], "high": -entry["low"]}
        found.append(entry | {"method": method})
    return found


def _corrected(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from rpe2d_bench.analysis.paired_bootstrap import holm

    for metric in {entry["metric"] for entry in found}:
        family = [entry for entry in found if entry["metric"] == metric]
        for entry, p in zip(family, holm([entry["p"] for entry in family]), strict=True):
            entry["p_adjusted"] = p
    return found


def _cached(cell: Cell, store: Path, resamples: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    seeds = set.union(*(set(by_seed) for by_seed in cell.values()))
    paths = {
        method: tuple(str(by_seed[seed].artifacts.observations) for seed in sorted(seeds))
        for method, by_seed in cell.items()
        if set(by_seed) == seeds
    }
    references = {r.artifacts.reference_observations for by_seed in cell.values() for r in by_seed.values()}
    reference = references.pop() if len(references) == 1 else None
    if reference is None or len(set(paths.values())) < 2:
        return []
    known = Comparison(Store(store), VERSION, resamples, paths, reference)
    if (entries := known.read(say)) is not None:
        return entries
    damage = known.damage()
    for path, reason in damage.items():
        users = ", ".join(method for method, observed in paths.items() if path in observed) or "everything"
        say(f"{path}: {reason}; {users} is left out of the comparisons until `run` makes it again")
    paths = {method: observed for method, observed in paths.items() if not set(observed) & set(damage)}
    if reference in damage or len(set(paths.values())) < 2:
        return []
    known = Comparison(Store(store), VERSION, resamples, paths, reference)
    if damage and (entries := known.read(say)) is not None:
        return entries
    found = _compare(cell, paths, store, reference, resamples)
    known.write(found)
    return found


def _compare(
    cell: Cell, paths: dict[str, tuple[str, ...]], store: Path, reference: str, resamples: int
) -> list[dict[str, Any]]:
    from rpe2d_bench.analysis.paired_bootstrap import compare
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
    found: list[dict[str, Any]] = []
    for kind in KINDS:
        name = f"{kind}_{real.net}"
        if name not in recorded:
            continue
        pairs = compare(
            features,
            real.views["whole"].features_ND,
            kind,  # type: ignore[arg-type]
            labels=labels,
            reference_labels=real_labels,
            resamples=resamples,
        )
        for pair in pairs:
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
    written = [by_seed[seed].artifacts.samples for seed in sorted(by_seed)]
    files = [store / path for path in written if path]
    known = (store / reference).with_name("labels.npy")
    if not known.is_file() or len(files) < len(by_seed) or not all(file.is_file() for file in files):
        return None, None
    return [images_file.labels(file) for file in files], np.load(known)
