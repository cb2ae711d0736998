"""Bootstrap replicates of FD and KID from stored features: many resamples for little more than one evaluation.

A resample is a vector of multinomial weights (how often each image was drawn). The same weights are given to every
method, so that methods which share noise and labels are compared image by image. Where each class has a fixed
number of images, images are drawn within their class.

Linear replicates (the infinitesimal jackknife) add up the influence of each image on the distance, its derivative.
For FD they replace a biased bootstrap; for KID the N x N kernels of `kernel_replicates`, which would take 58 GiB at
50,000 images. What they leave out of KID's spread is the part that is quadratic in the weights, which falls with 1 / N
where the linear one falls with 1 / sqrt(N). Their deviation over the exact one, 2,000 images x 64 features: 0.95 where
KID is nine deviations above zero, 0.84 at 2.4, 0.70 where both sets are of one distribution
(`python -m benchmarks.bootstrap --spread`): two methods that both are as good as real images look too well separated.

Shapes: K distances of one set; B resamples; N, M samples; D features.
"""

from __future__ import annotations

import numpy as np

from rpe2d_bench.metrics import fd
from rpe2d_bench.metrics.kid import cubic_kernel, mean_with_all, mean_with_others

WEIGHTS = 20_000_000  # of `multinomial_weights` in memory at once: 4,000 resamples of 5,000 images, 160 MB


def multinomial_weights(
    resamples: int, count: int, rng: np.random.Generator, classes_N: np.ndarray | None = None
) -> np.ndarray:
    """[B, N] float64: how often each of `count` images is drawn in each resample; rows (of each class) sum alike."""
    weights_BN = np.empty((resamples, count))
    for members in _strata(count, classes_N):
        shares = np.full(len(members), 1.0 / len(members))
        weights_BN[:, members] = rng.multinomial(len(members), shares, size=resamples)
    return weights_BN


def linear_replicates(
    influences_KN: np.ndarray, resamples: int, rng: np.random.Generator, classes_N: np.ndarray | None = None
) -> np.ndarray:
    """[K, B] how far each resample moves each distance, the same images drawn for all; at most `WEIGHTS` at a time.

    Up to `WEIGHTS` the draws are those of `multinomial_weights`.
    """
    count = influences_KN.shape[1]
    rows = max(1, WEIGHTS // count)
    moved = [
        influences_KN @ multinomial_weights(min(rows, resamples - start), count, rng, classes_N).T / count
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(moved, axis=1)


def _strata(count: int, classes_N: np.ndarray | None) -> list[np.ndarray]:
    if classes_N is None:
        return [np.arange(count)]
    return [np.flatnonzero(classes_N == chosen) for chosen in np.unique(classes_N)]


def kernel_replicates(
    features_ND: np.ndarray,
    reference_MD: np.ndarray,
    weights_BN: np.ndarray,
    weights_BM: np.ndarray,
    classes_N: np.ndarray | None = None,
    reference_classes_M: np.ndarray | None = None,
    reference_within_B: np.ndarray | None = None,
) -> np.ndarray:
    """[B] KID of each resample: `kid.mmd2` of the drawn images, with pairs of one image with itself left out.

    `reference_within_B` is `within_replicates` of the reference, where it is known from another method.
    Leaving them out keeps the estimator unbiased: a plain resample would meet k(x, x) once for every repeated draw.
    """
    x, y = features_ND.astype(np.float64), reference_MD.astype(np.float64)
    cross = ((weights_BN @ cubic_kernel(x, y)) * weights_BM).sum(axis=1) / (weights_BN.sum(1) * weights_BM.sum(1))
    if reference_within_B is None:
        reference_within_B = within_replicates(y, weights_BM, reference_classes_M)
    distances_B: np.ndarray = within_replicates(x, weights_BN, classes_N) + reference_within_B - 2.0 * cross
    return distances_B


def kernel_influences(
    features_ND: np.ndarray,
    reference_MD: np.ndarray,
    classes_N: np.ndarray | None = None,
    reference_classes_M: np.ndarray | None = None,
    reference_others_M: np.ndarray | None = None,
) -> tuple[float, np.ndarray, np.ndarray]:
    """KID over all pairs and the influence of each sample of either side on it, centred, without an N x M matrix.

    `reference_others_M` is `kid.mean_with_others` of the reference, where it is known from another method.
    """
    if reference_others_M is None:
        reference_others_M = mean_with_others(reference_MD, reference_classes_M)
    others_N = mean_with_others(features_ND, classes_N)
    across_N, across_M = mean_with_all(features_ND, reference_MD), mean_with_all(reference_MD, features_ND)
    value = others_N.mean() + reference_others_M.mean() - 2.0 * across_N.mean()
    ours, theirs = 2.0 * (others_N - across_N), 2.0 * (reference_others_M - across_M)
    return float(value), ours - ours.mean(), theirs - theirs.mean()


def within_replicates(x_ND: np.ndarray, weights_BN: np.ndarray, classes_N: np.ndarray | None) -> np.ndarray:
    """[B] the part of KID that looks at one side only, for each resample."""
    x_ND = x_ND.astype(np.float64)
    kernel_NN = cubic_kernel(x_ND, x_ND)
    np.fill_diagonal(kernel_NN, 0.0)
    total_B = ((weights_BN @ kernel_NN) * weights_BN).sum(axis=1)
    mean_B = np.zeros(len(weights_BN))
    for members in _strata(len(x_ND), classes_N):
        drawn = weights_BN[:, members]
        same_B = total_B
        if classes_N is not None:
            same_B = ((drawn @ kernel_NN[np.ix_(members, members)]) * drawn).sum(axis=1)
        pairs_B = np.square(drawn.sum(axis=1)) - np.square(drawn).sum(axis=1)
        # nothing but one image drawn in a class: rare and only in tiny classes; it has no pair
        mean_B += np.where(pairs_B > 0, same_B / np.maximum(pairs_B, 1.0), 0.0) * (len(members) / len(x_ND)) ** 2
        total_B = total_B - same_B
    kernels_B: np.ndarray = mean_B + total_B / len(x_ND) ** 2
    return kernels_B


def influences(features_ND: np.ndarray, reference_MD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First-order influence of each sample of either side on the Frechet distance, each set centred at zero.

    With T the optimal transport map between the two Gaussians, dFD = 2 (m1 - m2).dm1 + tr((I - T) dS1) (the Bures
    distance's derivative; Bhatia, Jain & Lim 2019, arXiv 1712.01504, sec. 3). Where a covariance has lost rank the
    pseudo-inverse stands for the inverse.
    """
    x, y = features_ND.astype(np.float64), reference_MD.astype(np.float64)
    one, other = fd.fit(x), fd.fit(y)
    return _influence(x, one, other), _influence(y, other, one)


def _influence(x_ND: np.ndarray, own: fd.Gaussian, other: fd.Gaussian) -> np.ndarray:
    # With F^T F = own S, G^T G = other S and the thin SVD F G^T = U s V^T, tr (S1 S2)^(1/2) = tr (U^T F G^T V), so the
    # transport term x^T T x with T = F^+ (F S2 F^T)^(1/2) F^+^T becomes |.|^2 in the coordinates of F.
    centred = x_ND - own.mean_D
    inverse = np.linalg.pinv(own.factor_RD, rcond=1e-10)  # [D, R]
    left, singular, _ = np.linalg.svd(own.factor_RD @ other.factor_RD.T, full_matrices=False)
    coordinates = centred @ inverse @ left  # [N, R]
    transported = np.square(coordinates) @ singular
    value = 2.0 * centred @ (own.mean_D - other.mean_D) + np.square(centred).sum(axis=1) - transported
    centred_N: np.ndarray = value - value.mean()
    return centred_N
