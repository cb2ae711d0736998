"""KID, the kernel distance: unbiased squared MMD with the cubic kernel (x.y / d + 1)^3 (arXiv 1801.01401, eq. 4).

Up to `ALL_SAMPLES` images a side the closed form runs over all pairs and nothing is random. Beyond that it is the
mean over `SUBSETS` seeded subsets of `SUBSET_SIZE`, the protocol of the paper. It can be slightly negative: unbiased.

Where each class has a fixed number of images, samples are not independent, and the plain estimator is below zero
even between two real sets: of n - 1 partners of an image too few share its class. With the classes given, pairs of
one class are weighted by n_a / (n_a - 1) instead, which is unbiased for fixed class counts. Classes of a single image
have no pair: they are taken together, or with the smallest other class (collapsed strata, Cochran, Sampling Techniques,
5A.12), which is off by their distance over n^2 only, where dropping all classes would be off by that of all over n.

Shapes: N, M samples; D features.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Metric, Score

ALL_SAMPLES = 5000
SUBSETS = 100
SUBSET_SIZE = 1000
_ROWS = 1024  # of the kernel matrix in memory at once
_ENTRIES = 2**23  # of the kernel matrix in memory at once, where rows are long: 64 MiB


def cubic_kernel(one_ND: np.ndarray, other_MD: np.ndarray) -> np.ndarray:
    """[N, M] float64 kernel values."""
    values = one_ND @ other_MD.T
    values /= one_ND.shape[1]
    values += 1.0
    cubes: np.ndarray = values * values * values
    return cubes


def _sum(one_ND: np.ndarray, other_MD: np.ndarray) -> float:
    return sum(
        float(cubic_kernel(one_ND[start : start + _ROWS], other_MD).sum()) for start in range(0, len(one_ND), _ROWS)
    )


def _sum_off_diagonal(one_ND: np.ndarray) -> float:
    diagonal = (np.square(one_ND).sum(axis=1) / one_ND.shape[1] + 1.0) ** 3
    return _sum(one_ND, one_ND) - float(diagonal.sum())


def _mean_within(one_ND: np.ndarray, classes_N: np.ndarray | None) -> float:
    """Unbiased mean of k(x, x') over independent x, x': plain, or for fixed class counts."""
    count = len(one_ND)
    total = _sum_off_diagonal(one_ND)
    if classes_N is None:
        return total / (count * (count - 1))
    for chosen in np.unique(classes_N):
        members = one_ND[classes_N == chosen]
        total += _sum_off_diagonal(members) / (len(members) - 1)  # n_a / (n_a - 1) = 1 + 1 / (n_a - 1)
    return total / count**2


def mean_with_all(one_ND: np.ndarray, other_MD: np.ndarray) -> np.ndarray:
    """[N] mean kernel of each image with all of another set, in memory that does not grow with N x M."""
    rows = max(1, _ENTRIES // len(other_MD))
    other = other_MD.astype(np.float64)
    return np.concatenate(
        [
            cubic_kernel(one_ND[start : start + rows].astype(np.float64), other).mean(axis=1)
            for start in range(0, len(one_ND), rows)
        ]
    )


def mean_with_others(one_ND: np.ndarray, classes_N: np.ndarray | None = None) -> np.ndarray:
    """[N] of each image with the others of its set, weighted so that their mean is the unbiased mean over pairs.

    With classes (each of two images at least, `with_pairs`) as for fixed class counts.
    """
    count = len(one_ND)
    diagonal_N = (np.square(one_ND.astype(np.float64)).sum(axis=1) / one_ND.shape[1] + 1.0) ** 3
    others_N: np.ndarray = mean_with_all(one_ND, one_ND) * count - diagonal_N
    if classes_N is None:
        others_N /= count - 1
        return others_N
    for chosen in np.unique(classes_N):
        members = np.flatnonzero(classes_N == chosen)
        same = mean_with_all(one_ND[members], one_ND[members]) * len(members) - diagonal_N[members]
        others_N[members] += same / (len(members) - 1)
    others_N /= count
    return others_N


def with_pairs(classes_N: np.ndarray) -> np.ndarray:
    """The classes, those of a single image put together, or with the smallest other one where only one is single."""
    names, numbers = np.unique(classes_N, return_counts=True)
    single = names[numbers == 1]
    if not len(single) or len(names) == 1:
        return classes_N
    if len(single) == 1:
        larger = numbers > 1
        single = np.array([single[0], names[larger][numbers[larger].argmin()]])
    return np.where(np.isin(classes_N, single), single[0], classes_N)


def mmd2(
    one_ND: np.ndarray,
    other_MD: np.ndarray,
    classes_N: np.ndarray | None = None,
    other_classes_M: np.ndarray | None = None,
) -> float:
    """Unbiased squared MMD over all pairs of two sets, which may differ in size; by class where counts are fixed."""
    n, m = len(one_ND), len(other_MD)
    if min(n, m) < 2:
        raise UserError(f"a kernel distance needs at least 2 images on each side, got {n} and {m}")
    if one_ND.shape[1] != other_MD.shape[1]:
        raise UserError(
            f"features of {one_ND.shape[1]} and {other_MD.shape[1]} dimensions cannot be compared; use one net"
        )
    one, other = one_ND.astype(np.float64), other_MD.astype(np.float64)
    within = _mean_within(one, classes_N) + _mean_within(other, other_classes_M)
    return within - 2.0 * _sum(one, other) / (n * m)


def kernel_distance(
    features_ND: np.ndarray,
    reference_MD: np.ndarray,
    seed: int = 0,
    classes_N: np.ndarray | None = None,
    reference_classes_M: np.ndarray | None = None,
    drawn: bool = False,
) -> tuple[float, str]:
    """KID and, in words, which estimator gave it; `drawn`: classes_N are independent draws, the reference's are not."""
    n, m = len(features_ND), len(reference_MD)
    if max(n, m) <= ALL_SAMPLES:
        if reference_classes_M is not None:
            reference_classes_M = with_pairs(reference_classes_M)
        if drawn and reference_classes_M is not None:
            value = mmd2(features_ND, reference_MD, None, reference_classes_M)
            return value, f"unbiased for drawn classes and the reference's fixed counts, all pairs of {n} and {m}"
        if classes_N is not None and reference_classes_M is not None:
            value = mmd2(features_ND, reference_MD, with_pairs(classes_N), reference_classes_M)
            return value, f"unbiased for fixed class counts, all pairs of {n} and {m}"
        return mmd2(features_ND, reference_MD), f"unbiased, all pairs of {n} and {m}"
    size = min(n, m, SUBSET_SIZE)
    rng = np.random.default_rng(seed)
    values = [
        mmd2(
            features_ND[rng.choice(n, size, replace=False)],
            reference_MD[rng.choice(m, size, replace=False)],
        )
        for _ in range(SUBSETS)
    ]
    return float(np.mean(values)), f"unbiased, mean of {SUBSETS} subsets of {size}, seed {seed}"


def _kernel(inputs: Inputs) -> Score:
    generated, reference = inputs.generated.features_ND, inputs.reference.features_ND
    return kernel_distance(generated, reference, inputs.seed, inputs.labels, inputs.reference_labels, inputs.drawn)


KID = Metric(
    name="kid",
    label="KID",
    better="lower",
    explanation="kernel distance (unbiased, so it can be below zero) between generated and real images in the features"
    " of the named net",
    citation="Binkowski et al. 2018, arXiv 1801.01401",
    view="whole",
    compute=_kernel,
    factor=1000.0,
    compared="ratio",
)
KID_GLOBAL = replace(
    KID,
    name="kid_global",
    label="Global KID",
    explanation="kernel distance after resizing to the train resolution: structure only",
    view="global",
)
KID_LOCAL = replace(
    KID,
    name="kid_local",
    label="Local KID",
    explanation="kernel distance of crops of the train size at native resolution: detail only",
    view="local",
)
