"""Known damage to real pictures at rising strength, to see what each metric notices.

Shapes: N pictures, C channels, H and W pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rpe2d_bench.metrics.resize import Size, resize


@dataclass(frozen=True)
class Material:
    """What a corruption works with; rows of `pictures` and `labels` belong together."""

    pictures: np.ndarray  # uint8 [N, C, H, W], real and not the reference
    labels: np.ndarray
    training: np.ndarray  # uint8, as many, what a model would have been trained on
    training_labels: np.ndarray
    rng: np.random.Generator

    @property
    def size(self) -> Size:
        return self.pictures.shape[2], self.pictures.shape[3]


Corrupted = tuple[np.ndarray, np.ndarray]  # pictures and the labels they were asked for


@dataclass(frozen=True)
class Corruption:
    """A kind of damage, its strengths from mild to severe, and what a strength means."""

    name: str
    strengths: tuple[float, ...]
    unit: str
    apply: Callable[[Material, float], Corrupted]


def _quantised(pictures: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.clip(np.rint(pictures), 0, 255).astype(np.uint8)
    return rounded


def _resized(pictures: np.ndarray, size: Size) -> np.ndarray:
    return _quantised(resize(pictures, size).numpy())


def blur(material: Material, strength: float) -> Corrupted:
    """Gaussian blur of this standard deviation, as a share of the short side."""
    from scipy.ndimage import gaussian_filter

    sigma = strength * min(material.size)
    blurred = gaussian_filter(material.pictures.astype(np.float32), (0, 0, sigma, sigma))
    return _quantised(blurred), material.labels


def noise(material: Material, strength: float) -> Corrupted:
    """Gaussian noise of this standard deviation in grey levels."""
    return _quantised(material.pictures + material.rng.normal(0, strength, material.pictures.shape)), material.labels


def jpeg(material: Material, strength: float) -> Corrupted:
    """JPEG compression at quality 100 - strength."""
    result = np.empty_like(material.pictures)
    for index, picture in enumerate(material.pictures):
        stream = io.BytesIO()
        image = Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0))
        image.save(stream, "JPEG", quality=int(100 - strength))
        decoded = np.asarray(Image.open(stream))
        result[index] = decoded[None] if decoded.ndim == 2 else decoded.transpose(2, 0, 1)
    return result, material.labels


def upscaling(material: Material, strength: float) -> Corrupted:
    """Pictures made this many times smaller, then resized back: generate small and upscale."""
    small = (max(1, round(material.size[0] / strength)), max(1, round(material.size[1] / strength)))
    return _resized(_resized(material.pictures, small), material.size), material.labels


def tiling(material: Material, strength: float) -> Corrupted:
    """A share of the pictures shows four small copies of itself."""
    height, width = material.size
    chosen = material.rng.permutation(len(material.pictures))[: round(strength * len(material.pictures))]
    result = material.pictures.copy()
    small = _resized(result[chosen], (-(-height // 2), -(-width // 2)))
    result[chosen] = np.tile(small, (1, 1, 2, 2))[:, :, :height, :width]
    return result, material.labels


def imbalance(material: Material, strength: float) -> Corrupted:
    """A share of the pictures is replaced by pictures of the first half of the classes, correctly labelled."""
    classes = np.unique(material.labels)
    favoured = np.flatnonzero(np.isin(material.labels, classes[: max(1, len(classes) // 2)]))
    return _replaced(material, strength, favoured)


def dropping(material: Material, strength: float) -> Corrupted:
    """This share of the classes is missing; its pictures show other classes than they were asked for."""
    classes = np.unique(material.labels)
    gone = classes[: round(strength * len(classes))]
    lost, kept = np.flatnonzero(np.isin(material.labels, gone)), np.flatnonzero(~np.isin(material.labels, gone))
    result = material.pictures.copy()
    result[lost] = material.pictures[material.rng.choice(kept, len(lost))]
    return result, material.labels


def repeating(material: Material, strength: float) -> Corrupted:
    """A share of the pictures is replaced by one of four pictures: mode collapse within otherwise good pictures."""
    return _replaced(material, strength, np.arange(4))


def memorizing(material: Material, strength: float) -> Corrupted:
    """A share of the pictures is copied from the training set."""
    chosen = material.rng.permutation(len(material.pictures))[: round(strength * len(material.pictures))]
    pictures, labels = material.pictures.copy(), material.labels.copy()
    source = material.rng.integers(0, len(material.training), len(chosen))
    pictures[chosen], labels[chosen] = material.training[source], material.training_labels[source]
    return pictures, labels


def emptying(material: Material, strength: float) -> Corrupted:
    """A share of the pictures is black."""
    chosen = material.rng.permutation(len(material.pictures))[: round(strength * len(material.pictures))]
    result = material.pictures.copy()
    result[chosen] = 0
    return result, material.labels


def _replaced(material: Material, share: float, sources: np.ndarray) -> Corrupted:
    chosen = material.rng.permutation(len(material.pictures))[: round(share * len(material.pictures))]
    taken = material.rng.choice(sources, len(chosen))
    pictures, labels = material.pictures.copy(), material.labels.copy()
    pictures[chosen], labels[chosen] = material.pictures[taken], material.labels[taken]
    return pictures, labels


SHARES = (0.05, 0.1, 0.2, 0.4, 0.8)
CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("blur", (0.005, 0.0075, 0.01, 0.02, 0.04), "sigma / short side", blur),
        Corruption("noise", (1, 2, 4, 8, 16), "grey levels", noise),
        Corruption("jpeg", (5, 20, 50, 75, 90), "100 - quality", jpeg),
        Corruption("upscaling", (1.25, 1.5, 2, 3, 4), "factor", upscaling),
        Corruption("tiling", SHARES, "share of pictures", tiling),
        Corruption("emptying", SHARES, "share of pictures", emptying),
        Corruption("imbalance", SHARES, "share of pictures", imbalance),
        Corruption("mode dropping", (0.1, 0.2, 0.3, 0.5, 0.8), "share of classes", dropping),
        Corruption("mode collapse", SHARES, "share of pictures", repeating),
        Corruption("memorization", SHARES, "share of pictures", memorizing),
    )
}
