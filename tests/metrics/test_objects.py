import numpy as np
import pytest

from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.objects import count_distance, objects, size_distance

INDICES = np.arange(120)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (32, 64)])
def test_one_glyph_has_the_renderers_count_and_size(size: tuple[int, int]) -> None:
    glyphs = GlyphOptions().build()
    found = objects(glyphs.images("test", INDICES, size))
    count, extent = glyphs.objects("test", INDICES)
    assert (found[:, 0] == count).mean() > 0.98
    np.testing.assert_allclose(found[:, 1], extent[:, 0], atol=2.5 / min(size))


def test_several_glyphs_are_counted() -> None:
    glyphs = GlyphOptions(objects=3, texture="random", channels=3, colour="random", background="textured").build()
    found = objects(glyphs.images("test", INDICES, (96, 96)))
    count, _ = glyphs.objects("test", INDICES)
    assert set(count) == {1, 2, 3}
    assert (found[:, 0] == count).mean() > 0.9


def test_distances_of_counts_and_sizes() -> None:
    single, tiled = GlyphOptions().build().images("test", INDICES, (32, 32)), None
    tiled = np.tile(single, (1, 1, 1, 2))
    one, two, none = objects(single), objects(tiled), objects(np.zeros_like(single))
    assert count_distance(one, one) == 0
    assert count_distance(two, one) > 0.95
    assert count_distance(none, one) > 0.95
    half = np.concatenate([one[:60], two[60:]])
    assert count_distance(half, one) == pytest.approx(0.5, abs=0.05)
    bigger = one + np.array([0, 0.25], np.float32)
    assert size_distance(bigger, one) == pytest.approx(0.25, abs=1e-5)
    with pytest.raises(UserError, match="at least one image"):
        count_distance(one[:0], one)
