import numpy as np
import pytest

from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.repetition import repetition, repetition_scores

GLYPHS = GlyphOptions(train_pictures=4000).build()
COUNT = 150


def real(resolution: tuple[int, int], split: str = "test", start: int = 0) -> np.ndarray:
    return GLYPHS.images(split, np.arange(start, start + COUNT), resolution)


TILINGS = [((64, 64), (2, 2)), ((64, 64), (1, 2)), ((64, 64), (2, 1)), ((32, 64), (1, 2)), ((64, 32), (2, 1)),
           ((48, 48), (2, 2))]  # fmt: skip


@pytest.mark.parametrize(("size", "tiles"), TILINGS)
@pytest.mark.parametrize("copies", ["identical", "another image of the class"])
def test_tilings_are_found(size: tuple[int, int], tiles: tuple[int, int], copies: str) -> None:
    part = (size[0] // tiles[0], size[1] // tiles[1])

    def tile(row: int, column: int) -> np.ndarray:
        return real(part, "validation", 0 if copies == "identical" else 1000 * (row * tiles[1] + column))

    rows = [np.concatenate([tile(y, x) for x in range(tiles[1])], axis=3) for y in range(tiles[0])]
    tiled = np.concatenate(rows, axis=2)
    assert repetition(repetition_scores(tiled), repetition_scores(real(size))) > 0.95


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (64, 64), (32, 64), (64, 32)])
def test_false_alarms_on_real_images_are_rare(size: tuple[int, int]) -> None:
    alarms = repetition(repetition_scores(real(size, "validation")), repetition_scores(real(size)))
    assert alarms <= 0.05  # 1 % expected; 150 images exceed 5 % once in ten thousand times


def test_blank_and_constant_images_do_not_repeat() -> None:
    blank = np.zeros((3, 1, 24, 24), np.uint8)
    blank[1] = 200
    blank[2, 0, 3, 3] = 2
    assert repetition_scores(blank).tolist() == [0, 0, 0]


def test_a_perfect_tiling_correlates_at_one_and_brightness_does_not_matter() -> None:
    tile = np.random.default_rng(0).integers(0, 120, (4, 3, 12, 10), dtype=np.uint8)
    tiled = np.tile(tile, (1, 1, 2, 2))
    np.testing.assert_allclose(repetition_scores(tiled), 1.0, atol=1e-6)
    np.testing.assert_allclose(repetition_scores(tiled * 2 + 5), 1.0, atol=1e-6)


def test_equals_correlation_by_plain_loops() -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 1, 9, 11), dtype=np.uint8)
    x = image[0, 0].astype(float)
    best = -1.0
    for dy in range(9):
        for dx in range(-10, 11):
            if max(dy / 9, abs(dx) / 11) < 0.25 or dy / 9 > 0.6 or abs(dx) / 11 > 0.6:
                continue
            left, right = max(dx, 0), 11 + min(dx, 0)
            one, other = x[dy:, left:right], x[: 9 - dy, left - dx : right - dx]
            if min(one.var(), other.var()) >= 0.25 * x.var():
                best = max(best, float(np.corrcoef(one.ravel(), other.ravel())[0, 1]))
    assert repetition_scores(image)[0] == pytest.approx(best, abs=1e-9)


def test_no_images_is_a_sentence() -> None:
    with pytest.raises(UserError, match="at least one image"):
        repetition(np.empty(0), np.ones(3))
