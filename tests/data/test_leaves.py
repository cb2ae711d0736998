"""Dead leaves: the same scene at every resolution, and as much detail per pixel at each."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from rpe2d_bench.data.counter_rng import streams
from rpe2d_bench.data.glyphs.dataset import GlyphOptions, Glyphs
from rpe2d_bench.data.glyphs.leaves import leaves

INDICES = np.arange(24)
LEAVES = GlyphOptions(texture="leaves", background="leaves")


def images(glyphs: Glyphs, side: int) -> np.ndarray:
    return glyphs.images("test", INDICES, (side, side))[:, 0].astype(float)


def roughness(found: np.ndarray) -> float:
    """Mean squared difference of neighbours: detail at the scale of a pixel."""
    return float(np.mean(np.diff(found, axis=1) ** 2) + np.mean(np.diff(found, axis=2) ** 2))


def test_a_leaf_image_is_its_finer_rendering_resized() -> None:
    glyphs = LEAVES.build()
    fine = glyphs.images("test", INDICES, (192, 192))[:, 0]
    for side in (16, 24, 64):
        small = [np.asarray(Image.fromarray(p).resize((side, side), Image.Resampling.BICUBIC)) for p in fine]
        assert np.abs(images(glyphs, side) - np.stack(small))[:, 2:-2, 2:-2].mean() < 3, side


def test_detail_does_not_end_at_the_train_resolution() -> None:
    """Twice the resolution shows smaller leaves; plane waves, glyphs and enlarged images only become smoother."""
    ratios = {}
    for name, options in {"leaves": LEAVES, "waves": GlyphOptions(texture="random", background="textured")}.items():
        glyphs = options.build()
        ratios[name] = roughness(images(glyphs, 96)) / roughness(images(glyphs, 64))
    assert ratios["leaves"] > 0.75
    assert ratios["waves"] < 0.6


def test_leaves_cover_everything_evenly() -> None:
    at = torch.linspace(-0.5, 0.5, 128)
    shade = leaves(torch.from_numpy(streams(0, "test", np.arange(200)).view(np.int64)), at, at)
    assert (shade == 0.5).float().mean() < 1e-3  # what lies below all leaves
    assert abs(float(shade.mean()) - 0.5) < 0.02
    assert abs(float(shade.std()) - 12**-0.5) < 0.02  # shades are uniform


def test_leaves_differ_between_images_and_not_between_batches() -> None:
    glyphs = LEAVES.build()
    together = glyphs.images("train", INDICES, (32, 32)).astype(int)
    at = torch.linspace(-0.5, 0.5, 32)
    one, other = leaves(glyphs.scenes("train", INDICES[[1, 11]]).leaves_B, at, at)
    assert (one == other).float().mean() < 0.05
    alone = glyphs.images("train", INDICES[5:6], (32, 32)).astype(int)
    assert np.abs(together[5:6] - alone).max() <= 1


def test_leaves_leave_the_other_images_as_they_were() -> None:
    """Their numbers are drawn apart: the glyph, its place and size stay."""
    plain, drawn = (options.build().scenes("test", INDICES) for options in (GlyphOptions(), LEAVES))
    for name in ("labels_B", "font_B", "size_BK", "y_BK", "x_BK"):
        assert torch.equal(getattr(plain, name), getattr(drawn, name))
