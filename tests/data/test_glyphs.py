"""Glyphs: determinism, the filter against an oracle, what every option does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rpe2d_bench import data
from rpe2d_bench.data.glyphs.dataset import GlyphOptions, Glyphs
from rpe2d_bench.data.glyphs.outlines import coverage, polygons
from rpe2d_bench.errors import UserError

FEW = np.arange(12)
HARD = GlyphOptions(
    texture="by_class", background="textured", objects=3, size_jitter=0.3, colour="random", channels=3, jitter=0.1
)


def cubic(u: np.ndarray) -> np.ndarray:
    u = np.abs(u)
    return np.where(u < 1, 1.5 * u**3 - 2.5 * u**2 + 1, np.where(u < 2, -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2, 0.0))


def oracle(glyphs: Glyphs, index: int, resolution: tuple[int, int], fine: int) -> np.ndarray:
    """One image the slow way: the outline's inside tested at fine x fine points of every pixel, then filtered."""
    from matplotlib.path import Path

    scene = glyphs.scenes("test", np.array([index]))
    outlines = polygons(glyphs.class_names[int(scene.labels_B)], glyphs.options.fonts[int(scene.font_B)])
    pitch, margin = 1 / min(resolution), 2
    axes = [((np.arange((n + 2 * margin) * fine) + 0.5) / fine - margin - n / 2) * pitch for n in resolution]
    y, x = np.meshgrid(*axes, indexing="ij")
    size, cy, cx = float(scene.size_BK), float(scene.y_BK), float(scene.x_BK)
    points = np.stack([(x - cx) / size, (y - cy) / size], -1).reshape(-1, 2)
    inside = np.logical_xor.reduce([Path(p).contains_points(points) for p in outlines]).reshape(y.shape).astype(float)
    weights = []
    for n, at in zip(resolution, axes, strict=True):
        centres = (np.arange(n) + 0.5 - n / 2) * pitch
        weights.append(cubic((at - centres[:, None]) / pitch) / fine)
    return np.clip(np.rint(255 * weights[0] @ inside @ weights[1].T), 0, 255)


@pytest.mark.parametrize("resolution", [(16, 16), (32, 32), (16, 24)])
def test_images_match_a_finely_sampled_oracle(resolution: tuple[int, int]) -> None:
    glyphs = GlyphOptions().build()
    indices = np.array([8, 14, 21])
    drawn = glyphs.images("test", indices, resolution)[:, 0].astype(float)
    for image, index in zip(drawn, indices, strict=True):
        difference = np.abs(image - oracle(glyphs, int(index), resolution, 40))
        assert difference.max() <= 6  # of 255; the oracle's own error is about as large
        assert difference.mean() <= 0.3


def test_coverage_of_a_polygon_with_a_hole_is_its_area() -> None:
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]])
    hole = 0.33 * square[::-1]
    mask = coverage([square, hole], 64)
    assert mask.mean() == pytest.approx(1 - 0.33**2, abs=2e-3)
    assert mask[32, 32] == 0
    assert mask[2, 2] == 1


@pytest.mark.parametrize("options", [GlyphOptions(), HARD], ids=["plain", "hard"])
def test_textures_and_layers_agree_with_four_times_the_resolution_resized(options: GlyphOptions) -> None:
    """The filter commutes with resizing: an image is its finer rendering, resized by Pillow's bicubic filter."""
    from PIL import Image

    glyphs = options.build()
    coarse = glyphs.images("test", FEW, (32, 32)).astype(float)
    fine = glyphs.images("test", FEW, (128, 128))
    resized = np.stack(
        [[np.asarray(Image.fromarray(c).resize((32, 32), Image.Resampling.BICUBIC)) for c in p] for p in fine]
    )
    inner = (..., slice(2, -2), slice(2, -2))  # at the border Pillow has no image to look at
    assert np.abs(coarse - resized)[inner].mean() < 1.5
    assert np.abs(coarse - resized)[inner].max() < 26


@settings(max_examples=15)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=9), st.sampled_from(data.SPLITS))
def test_a_image_does_not_depend_on_its_batch(indices: list[int], split: data.Split) -> None:
    glyphs = HARD.build()
    together = glyphs.images(split, np.array(indices), (16, 16))
    alone = np.concatenate([glyphs.images(split, np.array([i]), (16, 16)) for i in indices])
    assert np.abs(together.astype(int) - alone.astype(int)).max() <= 1  # matrix products may round differently


def test_same_call_same_bytes_and_a_new_seed_other_bytes() -> None:
    first, again = (GlyphOptions().build().images("train", FEW, (32, 32)) for _ in range(2))
    other = GlyphOptions(seed=1).build().images("train", FEW, (32, 32))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_known_pixels() -> None:
    """Golden sums: a renderer that changes them needs a new VERSION."""
    plain = GlyphOptions().build().images("test", np.arange(40), (32, 32))
    hard = HARD.build().images("test", np.arange(40), (32, 32))
    assert plain.mean() == pytest.approx(40.85, abs=0.05)
    assert hard.mean() == pytest.approx(46.51, abs=0.05)


def test_splits_are_disjoint() -> None:
    glyphs = GlyphOptions().build()
    seen = {split: {p.tobytes() for p in glyphs.images(split, np.arange(500), (24, 24))} for split in data.SPLITS}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


def test_labels_are_balanced_and_cheap() -> None:
    glyphs = GlyphOptions().build()
    labels = glyphs.labels("train", np.arange(1000))
    assert labels.dtype == np.int64
    assert (np.bincount(labels) == 100).all()
    assert glyphs.size("train") == 20_000
    assert glyphs.size("test") is None


def test_non_square_frames_show_the_square_scene_in_their_middle() -> None:
    glyphs = GlyphOptions().build()
    square = glyphs.images("test", FEW, (32, 32)).astype(int)
    wide = glyphs.images("test", FEW, (32, 64)).astype(int)
    tall = glyphs.images("test", FEW, (64, 32)).astype(int)
    assert np.abs(wide[..., 16:48] - square).max() <= 1
    assert np.abs(tall[:, :, 16:48] - square).max() <= 1
    assert wide[..., :16].max() == 0


def test_objects_are_as_many_and_as_large_as_stated() -> None:
    from scipy import ndimage

    glyphs = GlyphOptions(objects=3, size_jitter=0.4, fonts=("sans_bold",)).build()
    indices = np.arange(60)
    counts, sizes = glyphs.objects("test", indices)
    assert set(counts) == {1, 2, 3}
    for image, count, size in zip(glyphs.images("test", indices, (96, 96))[:, 0], counts, sizes, strict=True):
        parts, found = ndimage.label(image > 100, structure=np.ones((3, 3)))
        extents = [max(s.stop - s.start for s in part) / 96 for part in ndimage.find_objects(parts)]
        assert found == count
        assert sorted(extents) == pytest.approx(sorted(size[size > 0]), abs=0.03)


def test_textures_follow_the_class_and_change_the_image() -> None:
    glyphs = GlyphOptions(texture="by_class").build()
    scenes = glyphs.scenes("test", np.arange(100))
    assert torch.equal(scenes.texture_B, scenes.labels_B % 10)
    plain = GlyphOptions().build().images("test", FEW, (48, 48)).astype(int)
    textured = glyphs.images("test", FEW, (48, 48)).astype(int)
    bright = plain > 250
    assert textured[bright].std() > 30
    assert textured[plain == 0].max() <= 8  # composing clips the filter's ringing earlier


def test_colours_need_three_channels_and_vary() -> None:
    colours = HARD.build().images("test", FEW, (32, 32))
    assert colours.shape == (12, 3, 32, 32)
    assert np.ptp(colours.astype(int), axis=1).max() > 40
    with pytest.raises(UserError, match="channels: 3"):
        GlyphOptions(colour="random").build()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "data is a mapping with a name, one of emoji, glyphs"),
        ({"name": "glyps"}, "did you mean 'glyphs'"),
        ({"name": "glyphs", "font": ["sans"]}, "did you mean 'fonts'"),
        ({"name": "glyphs", "fonts": ["sanz"]}, "did you mean 'sans'"),
        ({"name": "glyphs", "classes": "numbers"}, "data.classes"),
        ({"name": "glyphs", "jitter": "much"}, "data.jitter"),
        ({"name": "glyphs", "jitter": 0.9}, "between 0 and 0.25"),
        ({"name": "glyphs", "objects": 4}, "1, 2 or 3"),
        ({"name": "glyphs", "objects": 2, "jitter": 0.2}, "would touch"),
        ({"name": "glyphs", "train_pictures": 0}, "at least 1"),
        ({"name": "glyphs", "channels": 2}, "data.channels"),
    ],
)
def test_bad_options_fail_by_name(spec: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data.build(spec)


def test_revision_changes_with_every_option() -> None:
    revisions = {
        data.build({"name": "glyphs", **change}).revision
        for change in ({}, {"jitter": 0.05}, {"seed": 3}, {"fonts": ["sans"]}, {"classes": "letters"})
    }
    assert len(revisions) == 5
    assert data.build({"name": "glyphs"}).revision == data.build({"name": "glyphs", "jitter": 0.06}).revision
