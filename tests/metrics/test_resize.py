from collections.abc import Callable

import numpy as np
import pytest
import torch
from cleanfid.resize import make_resizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.resize import describe, resize, weights

SIZES = st.integers(1, 70)


def cleanfid(size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Of one image [H, W, 3] at a time."""
    return make_resizer("PIL", False, "bicubic", (size[1], size[0]))


@settings(max_examples=60)
@example(source=(2, 66), target=(3, 3), seed=2725)  # 1.07e-4 apart
@given(source=st.tuples(SIZES, SIZES), target=st.tuples(SIZES, SIZES), seed=st.integers(0, 2**31))
def test_agrees_with_cleanfid_at_every_size(source: tuple[int, int], target: tuple[int, int], seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, 3, *source), dtype=np.uint8)
    ours = resize(images, target).numpy()
    reference = cleanfid(target)
    theirs = np.stack([reference(image.transpose(1, 2, 0)).transpose(2, 0, 1) for image in images])
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=0)  # grey levels; both sum float32 in orders of their own


@pytest.mark.parametrize(("source", "target"), [(512, 299), (299, 64), (32, 299), (7, 500)])
def test_agrees_with_cleanfid_at_metric_sizes(source: int, target: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 3, source, source + 9), dtype=np.uint8)
    theirs = cleanfid((target, target))(image[0].transpose(1, 2, 0)).transpose(2, 0, 1)
    np.testing.assert_allclose(resize(image, (target, target))[0].numpy(), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("size", [(20, 130), (224, 100)])
def test_both_ways_agree(channels: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 110, 97), dtype=np.uint8)
    one_by_one = resize(images, size)
    monkeypatch.setattr("rpe2d_bench.metrics.nets.resize.DENSE", 200)
    torch.testing.assert_close(resize(images, size), one_by_one, atol=1e-4, rtol=0)


@given(source=SIZES, target=SIZES)
@settings(max_examples=100)
def test_constant_images_stay_constant(source: int, target: int) -> None:
    torch.testing.assert_close(weights(source, target).sum(0), torch.ones(target, dtype=torch.float64))


def test_same_size_changes_nothing_and_is_described() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 8, 12), dtype=np.uint8)
    assert np.array_equal(resize(images, (8, 12)).numpy(), images)
    assert describe((8, 12), (8, 12)) == describe((8, 12), None) == "none (8x12)"
    assert "8x12 -> 4x4" in describe((8, 12), (4, 4))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 0, 8)])
def test_what_is_not_a_batch_of_images_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="cannot be resized"):
        resize(np.zeros(shape, np.uint8), (4, 4))
