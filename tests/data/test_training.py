"""Crops and the training pool: micro-conditioning, parity with Pillow, randomness, the cache."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rpe2d_bench.data.crops import CropOptions, NoCrops, ResizeAndCrop, build_crops, window
from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from rpe2d_bench.data.image_batches import TrainingImages, crop
from rpe2d_bench.data.image_pool import cached_images
from rpe2d_bench.errors import UserError

GLYPHS = GlyphOptions(train_pictures=40).build()
Make = Callable[..., TrainingImages]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(crops: CropOptions, resolution: tuple[int, int] = (16, 16), **options: object) -> TrainingImages:
        return TrainingImages(GLYPHS, resolution, crops, cache_dir=tmp_path, **options)  # type: ignore[arg-type]

    return build


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30)
@given(st.floats(1.01, 8.0), st.floats(0.0, 1.0), st.integers(0, 2**31))
def test_windows_lie_in_the_frame_and_zeros_mean_complete(max_zoom: float, share: float, seed: int) -> None:
    u_B4 = torch.rand(256, 4, generator=rng(seed), dtype=torch.float64)
    crop_B3 = ResizeAndCrop(max_zoom=max_zoom, uncropped_share=share).draw(u_B4)
    assert crop_B3.dtype == torch.float32
    zoom = torch.exp2(crop_B3[:, 0])
    complete = u_B4[:, 0] < share
    assert torch.equal(crop_B3[complete], torch.zeros(int(complete.sum()), 3))
    assert (zoom[~complete] > 1).all()
    assert (zoom <= max_zoom * (1 + 1e-6)).all()
    for axis in (0, 1):
        start, length = window(crop_B3, axis, 48)
        assert (start >= -1e-4).all()
        assert (start + length <= 48 + 1e-4).all()
        assert torch.allclose(length, 48 / zoom)


def test_draws_have_the_stated_distributions() -> None:
    u_B4 = torch.rand(40_000, 4, generator=rng(), dtype=torch.float64)
    crop_B3 = ResizeAndCrop(max_zoom=4.0, uncropped_share=0.3).draw(u_B4)
    cropped = crop_B3[crop_B3[:, 0] > 0]
    assert len(cropped) / len(crop_B3) == pytest.approx(0.7, abs=0.01)
    assert cropped[:, 0].mean() == pytest.approx(1.0, abs=0.02)  # log2 zoom uniform over (0, 2]
    assert cropped[:, 0].var() == pytest.approx(4 / 12, abs=0.01)
    room = 1 - torch.exp2(-cropped[:, 0])
    for axis in (1, 2):
        within = cropped[:, axis] / room + 0.5
        assert torch.histc(within, 10, 0, 1).std() / torch.histc(within, 10, 0, 1).mean() < 0.05


@pytest.mark.parametrize("resolution", [(16, 16), (16, 24)])
def test_crops_match_pillows_resize_with_a_box(resolution: tuple[int, int]) -> None:
    size = (48, 72) if resolution[1] == 24 else (48, 48)
    images = GLYPHS.images("train", np.arange(8), size)
    crop_B3 = ResizeAndCrop(uncropped_share=0.0, max_zoom=3.0).draw(torch.rand(8, 4, generator=rng()))
    ours = crop(torch.from_numpy(images).float(), crop_B3, resolution)[:, 0].numpy()
    for image, cropped, numbers in zip(images[:, 0], ours, crop_B3, strict=True):
        (top, tall), (left, wide) = (window(numbers[None], axis, size[axis]) for axis in (0, 1))
        box = (float(left), float(top), float(left + wide), float(top + tall))
        as_float = Image.fromarray(image.astype(np.float32), mode="F")
        theirs = np.asarray(as_float.resize(resolution[::-1], Image.Resampling.BICUBIC, box=box))
        # Pillow cuts the kernel at whole pixels and gives no weight to those whose centre is outside by rounding
        assert np.abs(np.clip(np.rint(theirs), 0, 255) - cropped).max() <= 4


def test_a_native_crop_is_what_the_renderer_draws_for_that_window() -> None:
    """The micro-conditioning tells the truth: the crop is the part of the image that its numbers name."""
    crop_B3 = torch.tensor([[1.0, 0.25, -0.25], [1.0, -0.25, 0.25], [1.0, 0.0, 0.0]])
    native = GLYPHS.images("train", np.arange(3), (32, 32))
    ours = crop(torch.from_numpy(native).float(), crop_B3, (16, 16)).numpy()
    corners = [(16, 0), (0, 16), (8, 8)]
    for image, cropped, (top, left) in zip(native, ours, corners, strict=True):
        assert np.abs(image[:, top : top + 16, left : left + 16] - cropped).max() <= 1


def test_uncropped_images_are_the_datasets_own(make: Make) -> None:
    for crops in (NoCrops(), ResizeAndCrop(uncropped_share=0.5), ResizeAndCrop(uncropped_share=0.5, source="train")):
        x, labels, crop_B3 = make(crops).batch(rng(), 64)
        assert (x.dtype, labels.dtype, crop_B3.dtype) == (torch.float32, torch.int64, torch.float32)
        own = {p.tobytes() for p in GLYPHS.images("train", np.arange(40), (16, 16))}
        grey = ((x + 1) * 127.5).round().to(torch.uint8)
        assert torch.allclose(grey / 127.5 - 1, x, atol=1e-6)
        complete = (crop_B3 == 0).all(1)
        assert complete.any()
        assert all(p.numpy().tobytes() in own for p in grey[complete])
        assert sum(p.numpy().tobytes() in own for p in grey[~complete]) == 0


def test_labels_belong_to_the_images(make: Make) -> None:
    x, labels, _ = make(NoCrops()).batch(rng(), 64)
    own = {p.tobytes(): i for i, p in enumerate(GLYPHS.images("train", np.arange(40), (16, 16)))}
    indices = np.array([own[p.numpy().tobytes()] for p in ((x + 1) * 127.5).round().to(torch.uint8)])
    assert (GLYPHS.labels("train", indices) == labels.numpy()).all()
    assert len(set(indices)) > 20


def test_the_generator_is_the_only_randomness_and_kinds_of_crops_share_it(make: Make) -> None:
    pools = [make(NoCrops()), make(ResizeAndCrop()), make(ResizeAndCrop(source="train"))]
    first = [pool.batch(rng(3), 32) for pool in pools]
    again = [pool.batch(rng(3), 32) for pool in pools]
    assert all(torch.equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    assert torch.equal(first[0][1], first[1][1])  # the same images in the same order
    assert torch.equal(first[1][2], first[2][2])  # and the same windows
    assert not torch.equal(first[1][0], first[2][0])
    after = [rng(3) for _ in pools]
    for pool, generator in zip(pools, after, strict=True):
        pool.batch(generator, 32)
    assert all(torch.equal(g.get_state(), after[0].get_state()) for g in after)


def test_the_train_source_has_no_detail_beyond_the_train_resolution(make: Make) -> None:
    """At zoom 2 from the train resolution the upper half of the frequencies is empty; from native it is not."""
    energy = {}
    for source in ("native", "train"):
        crops = ResizeAndCrop(source=source, uncropped_share=0.0)
        x, _, crop_B3 = make(crops).batch(rng(), 256)
        taper = torch.hann_window(16)  # or the border, where a window cuts through strokes, fills every frequency
        spectrum = torch.fft.rfft2((x[crop_B3[:, 0] > 0.9] + 1) * taper * taper[:, None]).abs().square()
        energy[source] = float(spectrum[..., 6:11, :].mean() / spectrum[..., :3, :].mean())
    assert energy["train"] < 0.35 * energy["native"]


def test_the_cache_is_reused_and_damage_is_repaired(tmp_path: Path) -> None:
    truth = GLYPHS.images("train", np.arange(40), (16, 16))
    assert np.array_equal(cached_images(GLYPHS, "train", 40, (16, 16), tmp_path), truth)
    path = next(tmp_path.glob("*/pictures.npy"))
    stamp = path.stat().st_mtime_ns
    assert np.array_equal(cached_images(GLYPHS, "train", 40, (16, 16), tmp_path), truth)
    assert path.stat().st_mtime_ns == stamp
    for damage in (lambda b: b[:-7], lambda b: b[:-9] + b"\xff" * 9, lambda b: b"", lambda b: b"junk"):
        path.write_bytes(damage(path.read_bytes()))
        assert np.array_equal(cached_images(GLYPHS, "train", 40, (16, 16), tmp_path), truth)
    (path.parent / "checksum.json").write_text("{")
    assert np.array_equal(cached_images(GLYPHS, "train", 40, (16, 16), tmp_path), truth)
    assert not list(tmp_path.glob("*.tmp-*"))


def test_writing_to_the_images_changes_no_file(tmp_path: Path) -> None:
    images = cached_images(GLYPHS, "train", 10, (16, 16), tmp_path)
    images[:] = 7
    again = cached_images(GLYPHS, "train", 10, (16, 16), tmp_path)
    assert np.array_equal(again, GLYPHS.images("train", np.arange(10), (16, 16)))


def _open_elsewhere(directory: str) -> int:
    return int(cached_images(GLYPHS, "train", 40, (24, 24), directory).sum())


def test_processes_share_one_cache(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        sums = pool.map(_open_elsewhere, [str(tmp_path)] * 3)
    assert sums == [int(GLYPHS.images("train", np.arange(40), (24, 24)).sum())] * 3
    assert len(list(tmp_path.glob("*/pictures.npy"))) == 1
    assert not list(tmp_path.glob("*.tmp-*"))


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glyphs = GlyphOptions(train_pictures=40).build()
    monkeypatch.setattr(glyphs, "images", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        cached_images(glyphs, "train", 40, (16, 16), tmp_path)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == []


def test_more_images_than_there_are(make: Make) -> None:
    with pytest.raises(UserError, match="40 images, fewer than the 41"):
        make(NoCrops(), num_pictures=41)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "resize_crop"}, "did you mean 'resize_and_crop'"),
        ({"kind": "resize_and_crop", "zoom": 3}, "did you mean 'max_zoom'"),
        ({"kind": "resize_and_crop", "max_zoom": 1.0}, "above 1"),
        ({"kind": "resize_and_crop", "uncropped_share": 1.5}, "between 0 and 1"),
        ({"kind": "resize_and_crop", "source": "vector"}, r"crops\.source"),
        ({"max_zoom": 2.0}, "crops is a mapping with a kind"),
    ],
)
def test_bad_crops_fail_by_name(spec: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_crops(spec)


def test_crops_by_name() -> None:
    assert build_crops(None) == NoCrops()
    assert build_crops({"kind": "none"}) == NoCrops()
    assert build_crops({"kind": "resize_and_crop", "max_zoom": 3}) == ResizeAndCrop(max_zoom=3.0)


def test_crops_are_made_where_the_images_are() -> None:
    """On an accelerator nothing large is computed on the host: mixing devices would fail."""
    there = crop(torch.zeros(4, 3, 32, 32, device="meta"), torch.zeros(4, 3), (16, 24))
    assert there.device.type == "meta"
    assert there.shape == (4, 3, 16, 24)
