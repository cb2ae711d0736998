"""The shipped glyph nets: what they know, what their features feel, how they were made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator

from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets import glyph
from rpe2d_bench.metrics.nets.features import extract
from rpe2d_bench.metrics.nets.resize import resize
from scripts import train_glyph_nets
from scripts.glyph_damage import KINDS, damage

DIGITS = GlyphOptions().build()
FIRST, SECOND = np.arange(300), np.arange(300, 600)
KIND = {kind.__name__: number for number, kind in enumerate(KINDS)}


def features(images: np.ndarray, name: str = "glyphnet") -> np.ndarray:
    return extract(images, glyph.load(name)).features_ND.astype(np.float64)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Dowson and Landau 1982, eq. 4, with the trace of the root from eigenvalues."""
    roots = np.sqrt(np.clip(np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).real, 0, None))
    return float(
        ((a.mean(0) - b.mean(0)) ** 2).sum() + a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum() - 2 * roots.sum()
    )


def damaged(images: np.ndarray, kind: str, strength: float) -> np.ndarray:
    x = torch.from_numpy(images).float()
    return damage(KIND[kind], x, torch.full((len(x),), strength), Generator().manual_seed(0)).to(torch.uint8).numpy()


def test_weights_fit_in_the_package() -> None:
    sizes = [path.stat().st_size for path in glyph.WEIGHTS.glob("*.safetensors")]
    assert len(sizes) == 2
    assert sum(sizes) <= 2 * 2**20


@pytest.mark.parametrize("resolution", [(16, 16), (24, 24), (32, 32), (48, 48), (64, 64), (32, 64), (64, 32)])
def test_both_nets_read_digits_at_every_resolution(resolution: tuple[int, int]) -> None:
    images, labels = DIGITS.images("test", FIRST, resolution), DIGITS.labels("test", FIRST)
    for name in glyph.NETS:
        found = extract(images, glyph.load(name))
        assert found.features_ND.shape == (300, glyph.load(name).num_features)
        assert (found.predictions_N == labels).mean() >= 0.995


def test_the_judge_reads_letters_and_hard_scenes() -> None:
    letters = GlyphOptions(classes="letters").build()
    judge = glyph.load("glyphjudge", letters.class_names)
    found = extract(letters.images("test", FIRST, (32, 32)), judge)
    assert (found.predictions_N == letters.labels("test", FIRST)).mean() >= 0.99
    hard = GlyphOptions(texture="by_class", background="textured", objects=3, size_jitter=0.3).build()
    found = extract(hard.images("test", FIRST, (64, 64)), glyph.load("glyphjudge"))
    assert (found.predictions_N == hard.labels("test", FIRST)).mean() >= 0.98


@pytest.mark.parametrize("resolution", [(32, 32), (64, 64)])
@pytest.mark.parametrize("kind", ["blur", "noise", "holes", "fade", "patch_gains", "warp", "blocks"])
def test_the_distance_rises_with_damage(kind: str, resolution: tuple[int, int]) -> None:
    reference = features(DIGITS.images("test", FIRST, resolution))
    images = DIGITS.images("test", SECOND, resolution)
    floor = frechet(reference, features(images))
    strengths = (
        (0.05, 0.6, 1.0) if kind == "warp" else (0.15, 0.3, 0.6, 1.0)
    )  # a slight warp is as far as a moderate one
    rising = [frechet(reference, features(damaged(images, kind, s))) for s in strengths]
    assert floor < rising[0]
    assert rising == sorted(rising)
    assert rising[-1] > 10 * floor


def test_tiling_and_empty_images_are_far() -> None:
    reference = features(DIGITS.images("test", FIRST, (32, 32)))
    images = DIGITS.images("test", SECOND, (32, 32))
    floor = frechet(reference, features(images))
    assert frechet(reference, features(damaged(images, "tiling", 1.0))) > 50 * floor
    assert frechet(reference, features(np.zeros_like(images))) > 100 * floor


def test_faint_grain_is_not_damage() -> None:
    """Noise of three grey levels, which no eye sees, costs less than a blur that one sees."""
    reference = features(DIGITS.images("test", FIRST, (32, 32)))
    images = DIGITS.images("test", SECOND, (32, 32))
    floor = frechet(reference, features(images))
    assert frechet(reference, features(damaged(images, "noise", 3 / 70))) < 2 * floor


def test_textures_count_at_a_fixed_class() -> None:
    """A growing share of images has another class's texture; shapes, classes and the set of textures stay."""
    glyphs = GlyphOptions(texture="by_class").build()
    reference = features(glyphs.images("test", FIRST, (32, 32)))
    scenes = glyphs.scenes("test", SECOND)
    distances = []
    for share in (0.0, 0.2, 0.5, 1.0):
        other = torch.arange(300) // 10 % 10 < 10 * share
        swapped = replace(scenes, texture_B=torch.where(other, (scenes.texture_B + 3) % 10, scenes.texture_B))
        distances.append(frechet(reference, features(glyphs.render(swapped, (32, 32)))))
    assert distances == sorted(distances)
    assert distances[-1] > 10 * distances[0]
    judged = extract(glyphs.render(swapped, (32, 32)), glyph.load("glyphjudge")).predictions_N
    assert (judged == scenes.labels_B.numpy()).mean() > 0.98  # the judge looks at shapes


def test_grey_and_rgb_are_one() -> None:
    net = glyph.load("glyphnet")
    grey = resize(DIGITS.images("test", FIRST[:4], (32, 32)), net.input_size)
    for one, three in zip(net.features_and_logits(grey), net.features_and_logits(grey.repeat(1, 3, 1, 1)), strict=True):
        assert torch.allclose(one, three, atol=1e-5)


def test_wrong_sizes_and_classes_are_refused() -> None:
    net = glyph.load("glyphnet", ("7", "A"))
    assert net.features_and_logits(torch.zeros(2, 1, 64, 64))[1].shape == (2, 2)
    with pytest.raises(ValueError, match="takes"):
        net.features_and_logits(torch.zeros(2, 1, 32, 32))
    with pytest.raises(UserError, match="cannot judge 'cat'"):
        glyph.load("glyphjudge", ("0", "cat"))
    with pytest.raises(UserError, match="did you mean 'glyphnet'"):
        glyph.load("glyphnets")


def test_broken_weights_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyph, "WEIGHTS", tmp_path)
    (tmp_path / "glyphnet.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0broken")
    for name in glyph.NETS:  # one is damaged, one is absent
        with pytest.raises(UserError, match=f"weights of {name} cannot be read"):
            glyph.load(name)


@pytest.mark.parametrize("name", sorted(glyph.NETS))
def test_folding_the_norms_changes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = glyph.NETS[name](norm=True)
    x = torch.rand(16, 3, *net.input_size) * 255
    for _ in range(3):
        net(glyph.normalise(x))  # fills the running statistics
    net.eval()
    expected = [value.detach() for value in net(glyph.normalise(x))]
    glyph.save(net, tmp_path / f"{name}.safetensors", "test")
    monkeypatch.setattr(glyph, "WEIGHTS", tmp_path)
    loaded = glyph.load(name, glyph.CLASSES)
    assert loaded.version == "test"
    for value, truth in zip(loaded.features_and_logits(x), expected, strict=True):
        assert torch.allclose(value, truth, atol=5e-3 * float(truth.abs().max()))  # float16 storage


@pytest.mark.parametrize("name", sorted(glyph.NETS))
def test_training_repeats_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_glyph_nets, "PER_POOL", 16)
    monkeypatch.setattr(train_glyph_nets, "RESOLUTIONS", ((16, 16), (16, 32)))
    monkeypatch.setattr(train_glyph_nets, "SETTINGS", (GlyphOptions(), GlyphOptions(texture="random", objects=2)))
    monkeypatch.setattr(train_glyph_nets, "SHARES", (0.5, 0.5))
    first, again = (train_glyph_nets.train(name, 4).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize("kind", sorted(KIND))
def test_damage_is_seeded_bounded_and_grows(kind: str) -> None:
    images = DIGITS.images("test", FIRST[:16], (24, 32))
    changes = [np.abs(damaged(images, kind, s).astype(int) - images).mean() for s in (0.1, 0.4, 1.0)]
    assert np.array_equal(damaged(images, kind, 0.5), damaged(images, kind, 0.5))
    assert changes == sorted(changes)
    assert changes[-1] > 1
