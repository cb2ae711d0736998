import io
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from PIL import Image

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.image_source import open_images, random_subset
from rpe2d_bench.storage import images_file

RNG = np.random.default_rng(0)


def sample_image(mode: str = "RGB", size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode)


def save(folder: Path, name: str, image: Image.Image) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(folder / name)


def read(path: Path, batch_size: int = 4, chosen: np.ndarray | None = None) -> list[np.ndarray]:
    return list(open_images(path).batches(batch_size, chosen))


def test_a_folder_is_read_whole_and_in_order(tmp_path: Path) -> None:
    images = [sample_image() for _ in range(6)]
    for index, image in enumerate(images):
        save(tmp_path, f"class{index % 2}/{index:03}.png", image)
    batches = read(tmp_path)
    assert [len(batch) for batch in batches] == [4, 2]
    order = [0, 2, 4, 1, 3, 5]
    expected = np.stack([np.asarray(images[i]).transpose(2, 0, 1) for i in order])
    assert np.array_equal(np.concatenate(batches), expected)
    assert np.array_equal(np.concatenate(read(tmp_path, 3, np.array([0, 2, 5]))), expected[[0, 2, 5]])


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_an_npz_is_streamed(tmp_path: Path, write) -> None:
    sample_images = RNG.integers(0, 256, (7, 8, 6, 3), dtype=np.uint8)
    write(tmp_path / "p.npz", sample_images, np.arange(7))
    source = open_images(tmp_path / "p.npz")
    batches = list(source.batches(3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert np.array_equal(np.concatenate(batches), sample_images.transpose(0, 3, 1, 2))
    assert source.labels.tolist() == list(range(7))
    assert source.sizes == {(8, 6): 7}


def test_sizes_and_channels_change_batches_and_are_counted(tmp_path: Path) -> None:
    for index, image in enumerate([sample_image(), sample_image(), sample_image(size=(4, 4)), sample_image("L")]):
        save(tmp_path, f"{index}.png", image)
    source = open_images(tmp_path)
    assert [batch.shape for batch in source.batches(8)] == [(2, 3, 8, 6), (1, 3, 4, 4), (1, 1, 8, 6)]
    assert source.sizes == {(8, 6): 3, (4, 4): 1}


def test_conversions_are_counted(tmp_path: Path) -> None:
    save(tmp_path, "a.png", sample_image("RGBA"))
    save(tmp_path, "b.png", sample_image("P"))
    save(tmp_path, "c.jpg", sample_image("CMYK"))
    (tmp_path / "readme.txt").write_text("no image")
    source = open_images(tmp_path)
    assert source.count == sum(len(batch) for batch in source.batches(1)) == 3
    assert source.notes == {
        "opaque alpha channel dropped": 1, "palette converted to RGB": 1, "CMYK converted to RGB": 1,
        "left out: files that are no images (.txt)": 1,
    }  # fmt: skip


def test_images_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    save(tmp_path, "0.png", sample_image())
    save(tmp_path, "a.png", Image.fromarray(np.full((4, 4), 60000, np.uint16)))
    with pytest.raises(UserError, match=r"a\.png has more than 8 bits a channel"):
        read(tmp_path)
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"a\.png is no image of a kind"):
        read(tmp_path)


def test_places_without_images_are_stated(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        open_images(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has no images"):
        open_images(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="cannot be opened as a zip"):
        open_images(tmp_path / "a.zip")
    (tmp_path / "a.rar").write_bytes(b"")
    with pytest.raises(UserError, match="neither a folder"):
        open_images(tmp_path / "a.rar")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"arr_0": np.zeros((2, 4, 4, 3), np.float32)}, "float32 .*expected uint8"),
        ({"arr_0": np.zeros((2, 3, 4, 4), np.uint8)}, "expected uint8 .N, H, W, C."),
    ],
)
def test_arrays_that_are_not_images_are_stated(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        open_images(tmp_path / "a.npz")


def test_damaged_npz_is_stated(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", RNG.integers(0, 256, (50, 16, 16, 3), dtype=np.uint8))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    (tmp_path / "torn.npz").write_bytes(content[:500])
    with pytest.raises(UserError, match=r"not a readable \.npz"):
        open_images(tmp_path / "torn.npz")
    content[5000] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        read(tmp_path / "flipped.npz")


def test_what_training_accepts_is_read_and_counted(tmp_path: Path) -> None:
    image = sample_image("RGBA")
    image.putpixel((0, 0), (1, 2, 3, 0))
    save(tmp_path, "a.png", image)
    sample_image().save(tmp_path / "b.gif", save_all=True, append_images=[sample_image()])
    source = open_images(tmp_path)
    (first, *_) = source.batches(1)
    assert first[0, :, 0, 0].tolist() == [255, 255, 255]
    assert source.notes["transparency composited on white"] == 1
    assert source.notes["animations and files of several images: the first image taken"] == 1


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_chosen_images_of_an_npz(tmp_path: Path, write) -> None:
    sample_images = RNG.integers(0, 256, (20, 8, 6, 3), dtype=np.uint8)
    write(tmp_path / "P.NPZ.npz", sample_images, np.arange(20))
    (tmp_path / "P.NPZ.npz").rename(tmp_path / "P.NPZ")
    chosen = random_subset(20, 7, seed=1)
    batches = list(open_images(tmp_path / "P.NPZ").batches(3, chosen))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert np.array_equal(np.concatenate(batches), sample_images[chosen].transpose(0, 3, 1, 2))


def test_random_subsets_are_draws_of_the_whole() -> None:
    drawn = random_subset(10_000, 500, seed=0)
    assert len(set(drawn)) == 500
    assert abs(drawn.mean() - 5000) < 500
    assert not np.array_equal(drawn, random_subset(10_000, 500, seed=1))
    assert np.array_equal(random_subset(9, 9, seed=3), np.arange(9))
    assert not set(drawn) & set(random_subset(10_000, 500, seed=0, part=1))


def test_the_samples_of_a_store_are_read_with_their_labels(tmp_path: Path) -> None:
    sample_images = RNG.integers(0, 256, (5, 3, 8, 6), dtype=np.uint8)
    images_file.save(tmp_path / "samples.npz", sample_images, np.arange(5))
    source = open_images(tmp_path / "samples.npz")
    assert np.array_equal(np.concatenate(list(source.batches(2))), sample_images)
    assert source.labels.tolist() == list(range(5))


def claiming(path: Path, shape: tuple[int, ...], content: bytes) -> Path:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", stream.getvalue() + content)
    return path


def test_headers_that_claim_more_than_there_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"claims \(4, 100000, 100000, 3\), 120,000,000,000 bytes, but holds 50"):
        open_images(claiming(tmp_path / "a.npz", (4, 100_000, 100_000, 3), bytes(50)))
    with pytest.raises(UserError, match=r"holds images of 8300x8300, more pixels than"):
        open_images(claiming(tmp_path / "b.npz", (1, 8300, 8300, 1), bytes(8300 * 8300)))
    with pytest.raises(UserError, match="expected uint8"):
        open_images(claiming(tmp_path / "c.npz", (4, -1, 8, 3), bytes(50)))


def test_batches_of_large_images_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpe2d_bench.metrics.image_source.BATCH_BYTES", 2 * 8 * 6 * 3)
    for index in range(5):
        save(tmp_path / "files", f"{index}.png", sample_image())
    assert [len(batch) for batch in read(tmp_path / "files", 64)] == [2, 2, 1]
    np.savez(tmp_path / "a.npz", RNG.integers(0, 256, (5, 8, 6, 3), dtype=np.uint8))
    assert [len(batch) for batch in read(tmp_path / "a.npz", 64)] == [2, 2, 1]


def test_statistics_beside_images_are_named_and_alone_refused(tmp_path: Path) -> None:
    images = np.zeros((3, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "batch.npz", arr_0=images, mu=np.zeros(4), sigma=np.eye(4))
    assert any(
        "(mu, sigma), which ADM's evaluator wrote, are used by fid_adm alone" in note
        for note in open_images(tmp_path / "batch.npz").notes
    )
    np.savez(tmp_path / "statistics.npz", mu=np.zeros(4), sigma=np.eye(4))
    with pytest.raises(UserError, match="no images; statistics alone are not read"):
        open_images(tmp_path / "statistics.npz")
