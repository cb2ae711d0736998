"""The training pools of an experiment, drawn by many processes: `python -m scripts.draw_pools FILE [--store runs]`.

A run draws them in as many processes as it has slots. Where that takes minutes (emoji: 10 to 20 ms an image) and there
are many more cores, this is done first.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench import data
from rpe2d_bench.data.image_batches import pool_size
from rpe2d_bench.data.image_pool import cached_images
from rpe2d_bench.data.interface import Split
from rpe2d_bench.resolution import Size
from rpe2d_bench.resolve.load import load_experiment

PIECE = 64  # images that a process draws at a time


@cache
def _dataset(spec: tuple[tuple[str, Any], ...]) -> data.Dataset:
    import torch

    torch.set_num_threads(1)
    return data.build(dict(spec))


def _draw(spec: tuple[tuple[str, Any], ...], split: Split, indices: np.ndarray, resolution: Size) -> np.ndarray:
    return _dataset(spec).images(split, indices, resolution)


class ManyProcesses:
    """A data set whose images are drawn elsewhere; everything else is its own."""

    threadable = False

    def __init__(self, spec: tuple[tuple[str, Any], ...], pool: ProcessPoolExecutor) -> None:
        self._spec, self._pool, self._here = spec, pool, _dataset(spec)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._here, name)

    def images(self, split: Split, indices: np.ndarray, resolution: Size) -> np.ndarray:
        pieces = np.array_split(indices, max(1, len(indices) // PIECE))
        tasks = [self._pool.submit(_draw, self._spec, split, piece, resolution) for piece in pieces]
        return np.concatenate([task.result() for task in tasks])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--store", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    experiment = load_experiment(arguments.experiment, arguments.overrides)
    spec = tuple(sorted(experiment.data.items()))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        dataset: Any = ManyProcesses(spec, pool)
        count = pool_size(dataset, experiment.train.num_pictures)
        for train in dict.fromkeys(pair.train for pair in experiment.resolutions):
            cached_images(dataset, "train", count, train, arguments.store / "cache")
            print(f"{count:,} images of {train[0]}x{train[1]} px are there")


if __name__ == "__main__":
    main()
