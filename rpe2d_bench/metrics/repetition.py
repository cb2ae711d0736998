"""Repetition: does an image contain the same thing twice, as extrapolated positions make it?

Per image: the highest normalised cross-correlation (Lewis 1995, computed by FFT) of the image's luma with itself
shifted, over shifts of a quarter to six tenths of a side, at no more than 96 pixels on the long side, since tiling is
structure. Overlaps that hold less than a quarter of the image's contrast count as empty and score nothing.
Per set: the share of images above the 99th percentile of real images at the same resolution, so that 1 % is what
real images score, and 100 % means that every image repeats itself more than real ones do.

Shapes: N images, C channels, H and W pixels; P, Q shifts down and across.
"""

from __future__ import annotations

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.metric import Inputs, Metric, Score

SHIFTS = (0.25, 0.6)  # of a side
FALSE_ALARMS = 0.01
LONG_SIDE = 96
_LEAST_CONTRAST = 0.25  # share of the image's variance per pixel that both overlapping parts must have
_FLAT = 4.0  # grey levels; parts with less spread show nothing that could repeat
_CHUNK = 64


def repetition_scores(images_NCHW: np.ndarray) -> np.ndarray:
    """[N] float64 in -1..1 from uint8 images; 0 for flat images and where no shift qualifies."""
    parts = [_scores(_small(images_NCHW[i : i + _CHUNK])) for i in range(0, len(images_NCHW), _CHUNK)]
    return np.concatenate(parts) if parts else np.empty(0)


def _small(images_NCHW: np.ndarray) -> np.ndarray:
    """[N, H, W] luma, float64, at most `LONG_SIDE` pixels long."""
    import torch

    from rpe2d_bench.metrics.nets.features import to_channels
    from rpe2d_bench.metrics.nets.resize import resize

    grey, _ = to_channels(torch.from_numpy(np.ascontiguousarray(images_NCHW)), 1)
    height, width = grey.shape[2:]
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return resize(grey, size)[:, 0].numpy().astype(np.float64)


def _scores(x_NHW: np.ndarray) -> np.ndarray:
    height, width = x_NHW.shape[1:]
    x = x_NHW - x_NHW.mean(axis=(1, 2), keepdims=True)
    shape = (2 * height, 2 * width)

    def transform(signal: np.ndarray) -> np.ndarray:
        return np.fft.rfft2(signal, shape)

    def back(product: np.ndarray) -> np.ndarray:
        """Sums over the overlap, for shifts down 0..H-1 and across in FFT order."""
        return np.fft.irfft2(product, shape)[:, :height]

    squares = np.square(x)
    mask_f, x_f, squares_f = transform(np.ones_like(x[:1])), transform(x), transform(squares)
    area = np.maximum(np.round(back(mask_f * mask_f.conj())), 1.0)
    shifted_sum, resting_sum = back(x_f * mask_f.conj()), back(mask_f * x_f.conj())
    cross = back(x_f * x_f.conj()) - shifted_sum * resting_sum / area
    shifted = back(squares_f * mask_f.conj()) - np.square(shifted_sum) / area
    resting = back(mask_f * squares_f.conj()) - np.square(resting_sum) / area
    contrast = squares.mean(axis=(1, 2))[:, None, None]
    floor = np.maximum(_LEAST_CONTRAST * contrast, _FLAT**2) * area
    allowed = _allowed(height, width) & (np.minimum(shifted, resting) >= floor)
    values = np.where(allowed, cross / np.sqrt(np.maximum(shifted * resting, 1e-12)), -np.inf).max(axis=(1, 2))
    return np.where(np.isfinite(values), values, 0.0)


def _allowed(height: int, width: int) -> np.ndarray:
    """[P, Q] shifts of at least a quarter of one side and at most six tenths of each; Q in FFT order."""
    down = np.arange(height)[:, None] / height
    across = np.abs(np.fft.fftfreq(2 * width, 1.0 / (2 * width)))[None] / width
    inside: np.ndarray = (np.maximum(down, across) >= SHIFTS[0]) & (down <= SHIFTS[1]) & (across <= SHIFTS[1])
    return inside


def repetition(scores_N: np.ndarray, real_scores_M: np.ndarray) -> float:
    """Share of images that repeat themselves more than all but `FALSE_ALARMS` of the real ones."""
    if not len(scores_N) or not len(real_scores_M):
        raise UserError("the repetition score needs at least one image on each side")
    return float((scores_N > np.quantile(real_scores_M, 1.0 - FALSE_ALARMS, method="higher")).mean())


def _repetition(inputs: Inputs) -> Score:
    seen, real = inputs.generated.features_ND[:, 0], inputs.reference.features_ND[:, 0]
    median = f"median correlation {np.median(seen):.2f}, of real images {np.median(real):.2f}"
    return repetition(seen, real), f"above the 99th percentile of {len(real)} real images; {median}"


REPETITION = Metric(
    name="repetition",
    label="Repetition",
    better="lower",
    explanation="share of images that repeat themselves more than 99 % of real images do, as tiled objects would",
    citation="this package, after Lewis 1995",
    view="repetition",
    compute=_repetition,
    factor=100.0,
    compared="odds ratio",
)
