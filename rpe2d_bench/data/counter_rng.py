"""Random numbers addressed by (seed, split, index, slot): any subset of images can be drawn in any order.

A counter-based generator (the finaliser of SplitMix64, Steele et al. 2014) replaces a stateful one, because a
image must not depend on which other images are in its batch.
"""

from __future__ import annotations

import numpy as np

from rpe2d_bench.data.interface import SPLITS, Split

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's increment, 2**64 / golden ratio


def _mix(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed


def streams(seed: int, split: Split, indices: np.ndarray) -> np.ndarray:
    """What addresses each image's numbers, uint64 [B]."""
    with np.errstate(over="ignore"):
        stream = _mix(np.array([seed * len(SPLITS) + SPLITS.index(split) + 1], dtype=np.uint64) * _GOLDEN)
        return _mix(stream + (indices.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def numbers(streams_B: np.ndarray, slots: int, first: int = 0) -> np.ndarray:
    """Uniform numbers in [0, 1), float64 [B, slots], from slot `first` on; row b depends on streams[b] only."""
    with np.errstate(over="ignore"):
        bits_BS = _mix(streams_B[:, None] + (np.arange(first, first + slots, dtype=np.uint64) + np.uint64(1)) * _GOLDEN)
    return (bits_BS >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(seed: int, split: Split, indices: np.ndarray, slots: int) -> np.ndarray:
    """Uniform numbers in [0, 1), float64 [B, slots]; row b depends on (seed, split, indices[b]) only."""
    return numbers(streams(seed, split, indices), slots)
