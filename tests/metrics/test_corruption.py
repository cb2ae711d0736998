from itertools import pairwise

import numpy as np
import pytest

from rpe2d_bench.data.glyphs import GlyphOptions
from rpe2d_bench.metrics.corruption import CORRUPTIONS, Material

GLYPHS = GlyphOptions().build()
COUNT = 40
INDICES = np.arange(COUNT)


def material(seed: int = 0) -> Material:
    return Material(
        GLYPHS.pictures("test", INDICES, (32, 24)), GLYPHS.labels("test", INDICES),
        GLYPHS.pictures("test", INDICES + COUNT, (32, 24)), GLYPHS.labels("test", INDICES + COUNT),
        np.random.default_rng(seed),
    )  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_damage_grows_with_strength_and_is_seeded(name: str) -> None:
    corruption = CORRUPTIONS[name]
    assert list(corruption.strengths) == sorted(corruption.strengths)
    before = material().pictures
    changes = []
    for strength in corruption.strengths:
        pictures, labels = corruption.apply(material(), strength)
        again, _ = corruption.apply(material(), strength)
        assert np.array_equal(pictures, again)
        assert (pictures.dtype, pictures.shape, labels.shape) == (np.uint8, before.shape, (COUNT,))
        changes.append(np.abs(pictures.astype(int) - before).mean())
    assert changes[-1] > changes[0]
    assert all(later >= 0.95 * earlier for earlier, later in pairwise(changes))


def test_shares_are_the_shares_of_pictures() -> None:
    for name in ("tiling", "emptying", "memorization"):
        pictures, _ = CORRUPTIONS[name].apply(material(), 0.4)
        changed = (pictures != material().pictures).any(axis=(1, 2, 3)).mean()
        assert changed == pytest.approx(0.4)
    given = material()
    copied, labels = CORRUPTIONS["memorization"].apply(given, 0.8)
    sources = [np.flatnonzero((given.training == picture).all(axis=(1, 2, 3))) for picture in copied]
    assert sum(len(found) > 0 for found in sources) == 32
    assert all(
        given.training_labels[found[0]] == label for found, label in zip(sources, labels, strict=True) if len(found)
    )


def test_classes_go_missing_or_prevail() -> None:
    given = material()
    dropped, labels = CORRUPTIONS["mode dropping"].apply(given, 0.3)
    assert np.array_equal(labels, given.labels)  # asked for, but not shown
    unchanged = (dropped == given.pictures).all(axis=(1, 2, 3))
    assert np.array_equal(unchanged, labels >= 3)
    _, skewed = CORRUPTIONS["imbalance"].apply(given, 0.8)
    assert (skewed < 5).mean() > 0.8
