"""FD: Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, arXiv 1706.08500, eq. 6).
FID where the net is Inception.

FD = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2). With any factors F^T F = S,
tr (S1 S2)^(1/2) is the sum of the singular values of F1 F2^T, so no matrix square root is taken: the factor is the
centred features themselves while n <= d, and a d x d factor of the covariance afterwards. Singular values keep
absolute precision eps * |F1 F2|, where eigenvalues of S1 S2 would lose half the digits to their square roots.

Shapes: N, M samples; D features; R rows of a factor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Metric, Score

_ROWS = 8192
LARGE = 512  # rows from which singular values take seconds


@dataclass(frozen=True)
class Gaussian:
    """Mean and unbiased covariance of a set of features, float64, with the covariance as a factor F^T F."""

    mean_D: np.ndarray
    factor_RD: np.ndarray
    count: int

    @property
    def trace(self) -> float:
        """Total variance, tr S."""
        return float(np.square(self.factor_RD).sum())


def fit(features_ND: np.ndarray) -> Gaussian:
    """The Gaussian of a set of features [N, D], N >= 2."""
    count, width = features_ND.shape
    if count < 2:
        raise UserError(f"a Frechet distance needs at least 2 images on each side, got {count}")
    mean = features_ND.mean(axis=0, dtype=np.float64)
    if count <= width:
        return Gaussian(mean, (features_ND - mean) / np.sqrt(count - 1), count)
    scatter = np.zeros((width, width))
    for start in range(0, count, _ROWS):  # rows may lie on disk: never all of them at once in float64
        centred = features_ND[start : start + _ROWS] - mean
        scatter += centred.T @ centred
    scatter /= count - 1
    return from_moments(mean, scatter, count)


def from_moments(mean_D: np.ndarray, covariance_DD: np.ndarray, count: int) -> Gaussian:
    """The Gaussian with these moments; of a covariance that is not quite symmetric the upper triangle counts."""
    from scipy import linalg

    try:
        factor = linalg.cholesky(covariance_DD, lower=False)
    except linalg.LinAlgError:  # singular: features that never fire, or duplicated ones
        values, vectors = linalg.eigh(covariance_DD, lower=False)
        noise = values[-1] * len(values) * np.finfo(np.float64).eps if len(values) else 0.0
        kept = values > max(noise, 0.0)
        factor = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    return Gaussian(mean_D, factor, count)


def distance(one: Gaussian, other: Gaussian) -> float:
    """Frechet distance, exact for every n and d; zero between equal sets up to rounding, never below zero."""
    if one.mean_D.shape != other.mean_D.shape:
        raise UserError(
            f"features of {len(one.mean_D)} and {len(other.mean_D)} dimensions cannot be compared; use one net"
        )
    cross = _cross(one.factor_RD, other.factor_RD)
    overlap = nuclear_norm(cross) if cross.size else 0.0
    means = float(np.square(one.mean_D - other.mean_D).sum())
    return max(means + one.trace + other.trace - 2.0 * overlap, 0.0)


def _cross(one_RD: np.ndarray, other_RD: np.ndarray) -> np.ndarray:
    """F1 F2^T, at half the work where both are Cholesky factors."""
    from scipy import linalg

    width = one_RD.shape[1]
    if one_RD.shape == other_RD.shape == (width, width) and not np.tril(one_RD, -1).any():
        return np.asarray(linalg.blas.dtrmm(1.0, one_RD, other_RD.T))
    product_RR: np.ndarray = one_RD @ other_RD.T
    return product_RR


def nuclear_norm(matrix: np.ndarray, large: int = LARGE) -> float:
    """Sum of singular values, float64.

    Large matrices go through the eigenvalues of M M^T, three times faster. Their rounding, a few eps of the largest,
    moves a square root by at most `shift`; where these could add up to 1e-9 of the sum, singular values are used.
    """
    import torch

    short = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    if len(short) > large:
        # numpy sees the symmetry of the product; torch's LAPACK is the fastest for the values
        values = torch.linalg.eigvalsh(torch.from_numpy(short @ short.T)).numpy().clip(min=0.0)
        rounding = 8 * np.finfo(np.float64).eps * values[-1]
        roots = np.sqrt(values)
        shift = np.minimum(np.sqrt(rounding), rounding / (2 * np.maximum(roots, 1e-300)))
        if shift.sum() <= 1e-9 * roots.sum():
            return float(roots.sum())
    return float(torch.linalg.svdvals(torch.from_numpy(np.ascontiguousarray(short))).sum())


def frechet_distance(features_ND: np.ndarray, reference_MD: np.ndarray) -> float:
    """Frechet distance between two sets of features."""
    return distance(fit(features_ND), fit(reference_MD))


def _frechet(inputs: Inputs) -> Score:
    generated, reference = inputs.generated.features_ND, inputs.reference.features_ND
    smaller = min(len(generated), len(reference))
    note = ""
    if smaller <= generated.shape[1]:
        note = f"{smaller} images for {generated.shape[1]} features: biased upwards, compare equal counts only"
    return frechet_distance(generated, reference), note


FD = Metric(
    name="fd",
    label="FD",
    better="lower",
    explanation="Fréchet distance between generated and real images in the features of the named net",
    citation="Heusel et al. 2017, arXiv 1706.08500",
    view="whole",
    compute=_frechet,
    compared="ratio",
)
FID = replace(
    FD,
    name="fid",
    label="FID",
    explanation="Fréchet distance in the features of the standard Inception net, images resized as clean-fid does",
    only="inception",
    means="fd",
)
FID_ADM = replace(
    FID,
    name="fid_adm",
    label="FID (ADM's resize)",
    explanation="Fréchet distance in the features of the standard Inception net, images resized as ADM's evaluator"
    " does, against the statistics of an ADM reference batch where it holds them",
    only="inception-adm",
)
FD_GLOBAL = replace(
    FD,
    name="fd_global",
    label="Global FD",
    explanation="Fréchet distance after resizing to the train resolution: structure only",
    view="global",
)
FD_LOCAL = replace(
    FD,
    name="fd_local",
    label="Local FD",
    explanation="Fréchet distance of crops of the train size at native resolution, each compared with real crops at"
    " the same place: detail only",
    view="local",
)
SFID = replace(
    FD,
    name="sfid",
    label="sFID",
    explanation="Fréchet distance in spatial features of the standard Inception net",
    citation="Nash et al. 2021, arXiv 2103.03841",
    view="spatial",
    only="inception",
)
