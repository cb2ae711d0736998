"""Measuring images on disk: each set is opened, observed (or known from an earlier call) and scored."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.metrics import objects, repetition, statistics_file
from rpe2d_bench.metrics.image_source import ImageFiles, ImageSource, open_images, random_subset
from rpe2d_bench.metrics.kept_features import FOLDER, Account, Kept, Taken
from rpe2d_bench.metrics.look import Look
from rpe2d_bench.metrics.nets.features import FeatureNet
from rpe2d_bench.metrics.nets.table import load_net, net_version
from rpe2d_bench.metrics.observations import Observations
from rpe2d_bench.metrics.observe_files import ANY_SIZE, observe_source
from rpe2d_bench.metrics.scoring import Measurement, score
from rpe2d_bench.metrics.statistics_file import StatisticsFile
from rpe2d_bench.metrics.table import METRICS, validate
from rpe2d_bench.resolution import Resolution

Progress = Callable[[str, int, int], None]  # which side, images done, images in all
DEVICES = ("cpu", "cuda", "mps")
REFERENCE, TRAINING = "reference", "training"  # sides; every other one is a set of samples


@dataclass(frozen=True)
class SeenSet:
    """A set of images on disk as the metrics see it."""

    path: Path
    seen: Observations
    labels: np.ndarray | None
    names: tuple[str, ...] | None  # of its files; None: an array, whose images have no names
    account: Account
    statistics: StatisticsFile | None  # of inception-adm: what the file itself holds


@contextmanager
def seen_sets(
    paths: Mapping[str, Path],
    look: Look,
    *,
    store: Path | None = None,
    progress: Progress = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[dict[str, SeenSet]]:
    """The sides `paths` (REFERENCE, and any number of samples by name) and TRAINING where a metric looks at it.

    Features are kept in `store` and taken from there; without one they are gone afterwards. What is missing or can't
    fit is a UserError before features are taken, which may be hours.
    """
    names = validate(look.metrics, look.net, look.judge)
    _check(look, names)
    paths = dict(paths)
    if any(METRICS[name].training for name in names):
        if look.training is None:
            raise UserError("memorization needs training images to compare with: give --training, or leave it out")
        paths[TRAINING] = look.training
    seeing = load_net(look.net, look.weights, look.classes)
    judging = None if look.judge is None else load_net(look.judge, None, look.classes)
    sources = {side: open_images(path) for side, path in paths.items()}
    _equal_counts({paths[side]: sources[side].count for side in paths if side not in (REFERENCE, TRAINING)}, look)
    chosen = _chosen(paths, sources, look)
    labels = {side: _labels(source, chosen[side]) for side, source in sources.items()}
    for side, path in paths.items():
        if "accuracy" in names and labels[side] is None and side not in (REFERENCE, TRAINING):
            raise UserError(f"accuracy needs the class each image shows: write it as arr_1 of an .npz; {path} has none")
    with tempfile.TemporaryDirectory(prefix="rpe2d-measure-") as temporary:
        found = {}
        for number, (side, source) in enumerate(sources.items()):
            left_out = dict(source.notes)  # of this folder; features and what was converted belong to the images
            fill = _filling(source, chosen[side], names, seeing, judging, look, progress, side)
            if store is None:
                folder = Path(temporary) / str(number)
                folder.mkdir()
                seen, account = fill(folder)
            else:
                kept = Kept(store / FOLDER, _question(source, chosen[side], names, look))
                seen, account = kept.read(say) or kept.take(fill)
            account = {**account, "notes": left_out | account["notes"]}
            files = _names(source, chosen[side])
            held = getattr(source, "statistics", None) if look.net == statistics_file.NET else None
            found[side] = SeenSet(paths[side], seen, labels[side], files, account, held)
        yield found


def _check(look: Look, names: Sequence[str]) -> None:
    if look.device not in DEVICES:
        raise unknown("device", look.device, DEVICES)
    if look.device != "cpu":
        import torch

        if not getattr(torch, "mps" if look.device == "mps" else "cuda").is_available():
            raise UserError(f"--device {look.device}: torch finds none here; leave it out to measure on the CPU")
    if look.seed < 0:
        raise UserError(f"--seed {look.seed}: a seed is 0 or more")
    if look.count is not None and look.count < 1:
        raise UserError(f"{look.count} images cannot be measured; ask for at least one, most metrics need many")
    if (relative := _relative(names)) and look.train_resolution is None:
        raise UserError(f"{relative[0]} is relative to the train resolution: give --train-resolution, or leave it out")


def _equal_counts(counts: Mapping[Path, int], look: Look) -> None:
    least = min(counts, key=lambda path: counts[path])
    most = max(counts, key=lambda path: counts[path])
    if look.count is None and counts[least] != counts[most]:
        raise UserError(
            f"{most} holds {counts[most]} images, {least} {counts[least]}: metrics depend on the number, so it has to "
            f"be the same in sets that are compared; draw as many of each with --count {counts[least]}"
        )


def _chosen(paths: Mapping[str, Path], sources: dict[str, ImageSource], look: Look) -> dict[str, np.ndarray | None]:
    """The images that `count` draws of each side; of one file for samples and reference other images, if there are."""
    if look.count is None:
        return dict.fromkeys(sources)
    count = look.count
    for side, source in sources.items():
        if source.count < count:
            raise UserError(f"{paths[side]} holds {source.count} images, but {count} were asked for; ask for fewer")
    samples = [path for side, path in paths.items() if side not in (REFERENCE, TRAINING)]
    floor = 2 * count <= sources[REFERENCE].count and any(path.samefile(paths[REFERENCE]) for path in samples)
    return {
        side: random_subset(source.count, count, look.seed, int(floor and side == REFERENCE))
        for side, source in sources.items()
    }


def _labels(source: ImageSource, chosen: np.ndarray | None) -> np.ndarray | None:
    labels: np.ndarray | None = getattr(source, "labels", None)
    return labels if labels is None or chosen is None else labels[chosen]


def _names(source: ImageSource, chosen: np.ndarray | None) -> tuple[str, ...] | None:
    if not isinstance(source, ImageFiles):
        return None
    return tuple(source.names) if chosen is None else tuple(source.names[at] for at in chosen)


def _question(source: ImageSource, chosen: np.ndarray | None, names: Sequence[str], look: Look) -> dict[str, Any]:
    """What the features of a set depend on."""
    views = {METRICS[name].view: False for name in names}
    views |= {METRICS[name].view: True for name in names if METRICS[name].logits}
    nets = [look.net, net_version(look.net, look.weights)]
    return {
        "images": source.digest,
        "chosen": None if chosen is None else chosen.tolist(),
        "views": sorted(views.items()),  # whether logits are kept
        "net": nets,
        "judge": None if look.judge is None else [look.judge, net_version(look.judge)],
        "classes": look.classes,
        "train_resolution": look.train_resolution,
        "pixels": [repetition.REPETITION.version, objects.OBJECT_COUNT.version],
    }


def _filling(
    source: ImageSource, chosen: np.ndarray | None, names: Sequence[str], net: FeatureNet, judge: FeatureNet | None,
    look: Look, progress: Progress, side: str,
) -> Callable[[Path], Taken]:  # fmt: skip
    """What takes the features of a set into a folder."""
    total = source.count if chosen is None else len(chosen)

    left_out = dict(source.notes)

    def fill(folder: Path) -> Taken:
        seen = observe_source(
            source, folder, metrics=names, net=net, judge=judge, train_resolution=look.train_resolution,
            chosen=chosen, batch_size=look.batch_size, device=look.device,
            progress=lambda done: progress(side, done, total),
        )  # fmt: skip
        return seen, {
            "found": source.count,
            "used": seen.count,
            "sizes": {f"{h}x{w}": number for (h, w), number in source.sizes.most_common()},
            "notes": {note: number for note, number in source.notes.items() if note not in left_out},
            "resize": {view: features.resize for view, features in seen.views.items()},
        }

    return fill


def score_side(sides: Mapping[str, SeenSet], side: str, look: Look) -> Measurement:
    """The metrics of one side of samples against the reference; what was read of each stands in `details`."""
    used = {name: sides[name] for name in (side, REFERENCE, TRAINING) if name in sides}
    observed = {name: one.seen for name, one in used.items()}
    names = validate(look.metrics, look.net, look.judge)
    sizes = {one.resolution for one in observed.values()}
    if len(sizes) > 1 and all(
        METRICS[name].view in ANY_SIZE for name in names
    ):  # resized anyway; the account has sizes
        observed = {name: replace(one, resolution=None) for name, one in observed.items()}
    samples, reference = sides[side], sides[REFERENCE]
    measured = score(
        observed[side], observed[REFERENCE], samples.labels, metrics=names, reference_labels=reference.labels,
        training=observed.get(TRAINING), seed=look.seed,
    )  # fmt: skip
    if "fd" in names and reference.statistics is not None:
        measured = statistics_file.against(measured, samples.seen, reference.statistics)
    accounts = {"samples" if name == side else name: one.account for name, one in used.items()}
    warnings = [*measured.details["warnings"], *_sizes(accounts), *_within_train(accounts["samples"], names, look)]
    warnings += _the_same(observed[side], observed[REFERENCE])
    return replace(measured, details={**measured.details, "warnings": warnings, "sources": accounts})


def _the_same(samples: Observations, reference: Observations) -> list[str]:
    """What a reader must know where a set is measured against itself."""
    pairs = [(one.features_ND, reference.views[view].features_ND) for view, one in samples.views.items()]
    words = "samples and reference are the same images: intervals, which take the two as drawn apart, mean nothing"
    return [words] if pairs and all(np.array_equal(*pair) for pair in pairs) else []


def _within_train(account: Account, names: Sequence[str], look: Look) -> list[str]:
    """What a reader must know where a relative metric is another's value under its own name."""
    relative, train = _relative(names), look.train_resolution or (0, 0)
    pairs = [pair for size in account["sizes"] for pair in zip(Resolution.parse(size), train, strict=True)]
    if not relative or any(side > limit for side, limit in pairs):
        return []
    return [
        f"{', '.join(relative)}: images of {', '.join(account['sizes'])} are no larger than the train resolution "
        f"{train[0]}x{train[1]}, so that this is the distance of whole images, as fd and kid are"
    ]


def _relative(names: Sequence[str]) -> list[str]:
    """Metrics that are relative to the train resolution."""
    return [name for name in names if METRICS[name].view in ("global", "local")]


def _sizes(accounts: dict[str, Account]) -> list[str]:
    """What a reader must know where images are not all of one size."""
    text = [
        f"{side}: images of {len(account['sizes'])} sizes, each resized to the net's input"
        for side, account in accounts.items()
        if len(account["sizes"]) > 1
    ]
    if not text and len({next(iter(account["sizes"])) for account in accounts.values()}) > 1:
        words = ", ".join(f"{side} {next(iter(account['sizes']))}" for side, account in accounts.items())
        text.append(f"sizes differ ({words}), all resized to the net's input: a difference may be one of resizing")
    return text
