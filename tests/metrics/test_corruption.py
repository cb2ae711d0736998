from itertools import pairwise

import numpy as np
import pytest

from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from scripts.corruption import CORRUPTIONS, Material

GLYPHS = GlyphOptions().build()
COUNT = 40
INDICES = np.arange(COUNT)


def material(seed: int = 0) -> Material:
    return Material(
        GLYPHS.images("test", INDICES, (32, 24)), GLYPHS.labels("test", INDICES),
        GLYPHS.images("test", INDICES + COUNT, (32, 24)), GLYPHS.labels("test", INDICES + COUNT),
        np.random.default_rng(seed),
    )  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_damage_grows_with_strength_and_is_seeded(name: str) -> None:
    corruption = CORRUPTIONS[name]
    assert list(corruption.strengths) == sorted(corruption.strengths)
    before = material().images
    changes = []
    for strength in corruption.strengths:
        images, labels = corruption.apply(material(), strength)
        again, _ = corruption.apply(material(), strength)
        assert np.array_equal(images, again)
        assert (images.dtype, images.shape, labels.shape) == (np.uint8, before.shape, (COUNT,))
        changes.append(np.abs(images.astype(int) - before).mean())
    assert changes[-1] > changes[0]
    assert all(later >= 0.95 * earlier for earlier, later in pairwise(changes))


def test_shares_are_the_shares_of_images() -> None:
    for name in ("tiling", "emptying", "memorization"):
        images, _ = CORRUPTIONS[name].apply(material(), 0.4)
        changed = (images != material().images).any(axis=(1, 2, 3)).mean()
        assert changed == pytest.approx(0.4)
    given = material()
    copied, labels = CORRUPTIONS["memorization"].apply(given, 0.8)
    sources = [np.flatnonzero((given.training == image).all(axis=(1, 2, 3))) for image in copied]
    assert sum(len(found) > 0 for found in sources) == 32
    assert all(
        given.training_labels[found[0]] == label for found, label in zip(sources, labels, strict=True) if len(found)
    )


def test_classes_go_missing_or_prevail() -> None:
    given = material()
    dropped, labels = CORRUPTIONS["mode dropping"].apply(given, 0.3)
    assert np.array_equal(labels, given.labels)  # asked for, but not shown
    unchanged = (dropped == given.images).all(axis=(1, 2, 3))
    assert np.array_equal(unchanged, labels >= 3)
    _, skewed = CORRUPTIONS["imbalance"].apply(given, 0.8)
    assert (skewed < 5).mean() > 0.8
