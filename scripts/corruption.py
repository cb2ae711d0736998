"""Known damage to real images at rising strength, to see what each metric notices.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rpe2d_bench.metrics.nets.resize import resize
from rpe2d_bench.resolution import Size


@dataclass(frozen=True)
class Material:
    """What a corruption works with; rows of `images` and `labels` belong together."""

    images: np.ndarray  # uint8 [N, C, H, W], real and not the reference
    labels: np.ndarray
    training: np.ndarray  # uint8, as many, what a model would have been trained on
    training_labels: np.ndarray
    rng: np.random.Generator

    @property
    def size(self) -> Size:
        return self.images.shape[2], self.images.shape[3]


Corrupted = tuple[np.ndarray, np.ndarray]  # images and the labels they were asked for


@dataclass(frozen=True)
class Corruption:
    """A kind of damage, its strengths from mild to severe, and what a strength means."""

    name: str
    strengths: tuple[float, ...]
    unit: str
    apply: Callable[[Material, float], Corrupted]


def _quantised(images: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    return rounded


def _resized(images: np.ndarray, size: Size) -> np.ndarray:
    return _quantised(resize(images, size).numpy())


def blur(material: Material, strength: float) -> Corrupted:
    """Gaussian blur of this standard deviation, as a share of the short side."""
    from scipy.ndimage import gaussian_filter

    sigma = strength * min(material.size)
    blurred = gaussian_filter(material.images.astype(np.float32), (0, 0, sigma, sigma))
    return _quantised(blurred), material.labels


def noise(material: Material, strength: float) -> Corrupted:
    """Gaussian noise of this standard deviation in grey levels."""
    return _quantised(material.images + material.rng.normal(0, strength, material.images.shape)), material.labels


def jpeg(material: Material, strength: float) -> Corrupted:
    """JPEG compression at quality 100 - strength."""
    result = np.empty_like(material.images)
    for index, sample_image in enumerate(material.images):
        stream = io.BytesIO()
        image = Image.fromarray(sample_image[0] if len(sample_image) == 1 else sample_image.transpose(1, 2, 0))
        image.save(stream, "JPEG", quality=int(100 - strength))
        decoded = np.asarray(Image.open(stream))
        result[index] = decoded[None] if decoded.ndim == 2 else decoded.transpose(2, 0, 1)
    return result, material.labels


def upscaling(material: Material, strength: float) -> Corrupted:
    """Images made this many times smaller, then resized back: generate small and upscale."""
    small = (max(1, round(material.size[0] / strength)), max(1, round(material.size[1] / strength)))
    return _resized(_resized(material.images, small), material.size), material.labels


def tiling(material: Material, strength: float) -> Corrupted:
    """A share of the images shows four small copies of itself."""
    height, width = material.size
    chosen = material.rng.permutation(len(material.images))[: round(strength * len(material.images))]
    result = material.images.copy()
    small = _resized(result[chosen], (-(-height // 2), -(-width // 2)))
    result[chosen] = np.tile(small, (1, 1, 2, 2))[:, :, :height, :width]
    return result, material.labels


def imbalance(material: Material, strength: float) -> Corrupted:
    """A share of the images is replaced by images of the first half of the classes, correctly labelled."""
    classes = np.unique(material.labels)
    favoured = np.flatnonzero(np.isin(material.labels, classes[: max(1, len(classes) // 2)]))
    return _replaced(material, strength, favoured)


def dropping(material: Material, strength: float) -> Corrupted:
    """This share of the classes is missing; its images show other classes than they were asked for."""
    classes = np.unique(material.labels)
    gone = classes[: round(strength * len(classes))]
    lost, kept = np.flatnonzero(np.isin(material.labels, gone)), np.flatnonzero(~np.isin(material.labels, gone))
    result = material.images.copy()
    result[lost] = material.images[material.rng.choice(kept, len(lost))]
    return result, material.labels


def repeating(material: Material, strength: float) -> Corrupted:
    """A share of the images is replaced by one of four images: mode collapse within otherwise good images."""
    return _replaced(material, strength, np.arange(4))


def memorizing(material: Material, strength: float) -> Corrupted:
    """A share of the images is copied from the training set."""
    chosen = material.rng.permutation(len(material.images))[: round(strength * len(material.images))]
    images, labels = material.images.copy(), material.labels.copy()
    source = material.rng.integers(0, len(material.training), len(chosen))
    images[chosen], labels[chosen] = material.training[source], material.training_labels[source]
    return images, labels


def emptying(material: Material, strength: float) -> Corrupted:
    """A share of the images is black."""
    chosen = material.rng.permutation(len(material.images))[: round(strength * len(material.images))]
    result = material.images.copy()
    result[chosen] = 0
    return result, material.labels


def _replaced(material: Material, share: float, sources: np.ndarray) -> Corrupted:
    chosen = material.rng.permutation(len(material.images))[: round(share * len(material.images))]
    taken = material.rng.choice(sources, len(chosen))
    images, labels = material.images.copy(), material.labels.copy()
    images[chosen], labels[chosen] = material.images[taken], material.labels[taken]
    return images, labels


SHARES = (0.05, 0.1, 0.2, 0.4, 0.8)
CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("blur", (0.005, 0.0075, 0.01, 0.02, 0.04), "sigma / short side", blur),
        Corruption("noise", (1, 2, 4, 8, 16), "grey levels", noise),
        Corruption("jpeg", (5, 20, 50, 75, 90), "100 - quality", jpeg),
        Corruption("upscaling", (1.25, 1.5, 2, 3, 4), "factor", upscaling),
        Corruption("tiling", SHARES, "share of images", tiling),
        Corruption("emptying", SHARES, "share of images", emptying),
        Corruption("imbalance", SHARES, "share of images", imbalance),
        Corruption("mode dropping", (0.1, 0.2, 0.3, 0.5, 0.8), "share of classes", dropping),
        Corruption("mode collapse", SHARES, "share of images", repeating),
        Corruption("memorization", SHARES, "share of images", memorizing),
    )
}
