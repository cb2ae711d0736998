"""Folders and zips of photographs: splits, revisions, odd files."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rpe2d_bench import data
from rpe2d_bench.data.crops import ResizeAndCrop
from rpe2d_bench.data.image_batches import TrainingImages
from rpe2d_bench.data.image_folder.dataset import ImageFolder, ImageFolderOptions
from rpe2d_bench.errors import UserError

Build = Callable[..., ImageFolder]


def smooth(seed: int, height: int, width: int) -> np.ndarray:
    """A colourful image without edges, uint8 [H, W, 3]."""
    a = np.random.default_rng(seed).uniform(1, 4, (3, 2))
    y, x = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)
    return np.rint(np.stack([127 + 120 * np.sin(p * y + q * x) for p, q in a * 3], -1)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 30 images of mixed sizes by 12 senders, a list and a licence."""
    root = tmp_path / "images"
    rows = ["image,sender"]
    for number in range(60):
        name = ("cat", "dog")[number % 2]
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth(number, 48 + number % 5, 48 + number % 7)).save(root / name / f"p{number:02}.png")
        rows.append(f"p{number:02},{number % 12}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "LICENSE").write_text("CC0")
    (root / ".DS_Store").write_text("")
    return root


@pytest.fixture
def build(folder: Path) -> Build:
    return lambda **options: ImageFolderOptions(**{"path": str(folder), **options}).build()


def every(dataset: ImageFolder, split: data.Split) -> list[str]:
    return dataset.files(split, np.arange(dataset.size(split)))


def test_every_image_is_in_one_split_and_keeps_its_class(build: Build) -> None:
    dataset = build()
    names = [name for split in data.SPLITS for name in every(dataset, split)]
    assert len(names) == len(set(names)) == 60
    assert dataset.class_names == ("cat", "dog")
    for split in data.SPLITS:
        labels = dataset.labels(split, np.arange(dataset.size(split)))
        assert [dataset.class_names[i] for i in labels] == [name.split("/")[0] for name in every(dataset, split)]


def test_senders_stay_on_one_side(build: Build) -> None:
    dataset = build(labels="labels.csv", split_by="sender", test_share=0.3, validation_share=0.3)
    senders = {s: {int(name[-6:-4]) % 12 for name in every(dataset, s)} for s in data.SPLITS}
    assert sum(len(s) for s in senders.values()) == 12
    assert set.union(*senders.values()) == set(range(12))


def test_adding_a_image_moves_no_other(build: Build, folder: Path) -> None:
    before = {s: set(every(build(), s)) for s in data.SPLITS}
    Image.fromarray(smooth(99, 64, 64)).save(folder / "cat" / "new.png")
    after = {s: set(every(build(), s)) for s in data.SPLITS}
    assert all(before[s] <= after[s] for s in data.SPLITS)


def test_a_zip_is_its_folder(build: Build, folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as z:
        for file in folder.rglob("*"):
            if file.is_file():
                z.write(file, file.relative_to(folder))
    there, here = build(path=str(archive)), build()
    assert there.revision == here.revision
    indices = np.arange(5)
    assert np.array_equal(there.images("train", indices, (16, 16)), here.images("train", indices, (16, 16)))
    inner = tmp_path / "deeper.zip"
    with zipfile.ZipFile(inner, "w") as z:
        for file in folder.rglob("*.png"):
            z.write(file, Path("images") / file.relative_to(folder))
    assert build(path=str(inner)).class_names == ("cat", "dog")


def test_the_revision_follows_contents_and_splits(build: Build, folder: Path) -> None:
    revisions = {build().revision, build(test_share=0.3).revision, build(channels=1).revision}
    revisions.add(build(labels="labels.csv", split_by="sender").revision)
    name = next((folder / "cat").iterdir())
    Image.fromarray(smooth(1000, 50, 50)).save(name)
    revisions.add(build().revision)
    assert len(revisions) == 5


def test_squares_are_centred_and_filtered_as_pillow_does(build: Build, folder: Path) -> None:
    tall = smooth(5, 96, 64)
    Image.fromarray(tall).save(folder / "cat" / "p00.png")
    dataset = build()
    split, at = next(
        (s, every(dataset, s).index("cat/p00.png")) for s in data.SPLITS if "cat/p00.png" in every(dataset, s)
    )
    square = Image.fromarray(tall[16:80])
    expected = np.asarray(square.resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.abs(dataset.images(split, np.array([at]), (32, 32))[0].astype(int) - expected).max() <= 2
    band = np.asarray(Image.fromarray(tall[32:64]).resize((32, 16), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    drawn = dataset.images(split, np.array([at]), (16, 32))[0].astype(int)
    assert np.abs(drawn - band).max() <= 3  # near its border Pillow's filter sees beyond the box


def test_grey_images_take_the_channels_of_the_data_set(build: Build, folder: Path) -> None:
    grey = smooth(3, 48, 48)[..., 0]
    Image.fromarray(grey).save(folder / "dog" / "a_grey.png")
    dataset = build()
    split = next(s for s in data.SPLITS if "dog/a_grey.png" in every(dataset, s))
    at = every(dataset, split).index("dog/a_grey.png")
    assert np.array_equal(dataset.images(split, np.array([at]), (48, 48))[0], np.stack([grey] * 3))
    assert build(channels=1).images("train", np.arange(3), (16, 16)).shape == (3, 1, 16, 16)


def test_a_file_that_cannot_be_decoded_is_named(build: Build, folder: Path) -> None:
    (folder / "cat" / "p10.png").write_bytes(b"not an image")
    dataset = build()
    split = next(s for s in data.SPLITS if "cat/p10.png" in every(dataset, s))
    with pytest.raises(UserError, match=r"cat/p10\.png is no image"):
        dataset.images(split, np.arange(dataset.size(split)), (16, 16))


def test_a_small_image_is_named_unless_upscaling_is_asked_for(build: Build) -> None:
    with pytest.raises(UserError, match=r"px, too small for 64x64 px"):
        build().images("train", np.arange(1), (64, 64))
    assert build(upscale=True).images("train", np.arange(1), (64, 64)).shape == (1, 3, 64, 64)


def test_flip_doubles_the_training_split_only(build: Build) -> None:
    plain, flipped = build(), build(flip=True)
    n = plain.size("train")
    assert (flipped.size("train"), flipped.size("test")) == (2 * n, plain.size("test"))
    images = flipped.images("train", np.array([3, n + 3]), (16, 16))
    assert np.array_equal(images[0], images[1, :, :, ::-1])
    assert flipped.labels("train", np.array([3])) == flipped.labels("train", np.array([n + 3]))


def test_training_images_from_a_folder(build: Build, tmp_path: Path) -> None:
    import torch

    pool = TrainingImages(build(flip=True), (16, 16), ResizeAndCrop(), cache_dir=tmp_path / "cache")
    x, labels, crop_B3 = pool.batch(torch.Generator().manual_seed(0), 32)
    assert x.shape == (32, 3, 16, 16)
    assert labels.max() <= 1
    assert (crop_B3[:, 0] > 0).any()


def test_bad_folders_get_one_sentence(folder: Path, tmp_path: Path) -> None:
    spec: dict[str, object] = {"name": "image_folder", "path": str(folder)}
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK no zip")
    (tmp_path / "empty").mkdir()
    cases: list[tuple[dict[str, object], str]] = [
        ({"name": "image_folder"}, "data.path is missing"),
        (spec | {"path": str(tmp_path / "nowhere")}, "does not exist"),
        (spec | {"path": str(broken)}, "cannot be opened as a zip"),
        (spec | {"path": str(tmp_path / "empty")}, "empty has no images"),
        (spec | {"split_by": "sender"}, "data.labels"),
        (spec | {"labels": "label.csv", "split_by": "sender"}, "label.csv is not in"),
        (spec | {"labels": "labels.csv", "split_by": "sendr"}, "did you mean 'sender'"),
        (spec | {"test_share": 0.95}, "sum below 1"),
        (spec | {"test_share": 0.001, "validation_share": 0.001}, "falls into the"),
        (spec | {"group_by": "sender"}, "data set 'image_folder' has no option"),
    ]
    for bad, message in cases:
        with pytest.raises(UserError, match=message):
            data.build(bad)


def test_a_image_without_a_sender_is_named(build: Build, folder: Path) -> None:
    Image.fromarray(smooth(1, 48, 48)).save(folder / "dog" / "stray.png")
    with pytest.raises(UserError, match=r"dog/stray\.png has no sender"):
        build(labels="labels.csv", split_by="sender")


def test_an_index_beyond_the_split(build: Build) -> None:
    with pytest.raises(UserError, match=r"the test split of .* has"):
        build().images("test", np.array([10_000]), (16, 16))
