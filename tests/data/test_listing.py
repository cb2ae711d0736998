"""Which files are images of a data set, of which class and split: each kind decided once, counted and said.

Longer than other files, because it has one case for every kind of odd folder and archive.
"""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rpe2d_bench import data
from rpe2d_bench.data.image_folder.dataset import ImageFolder
from rpe2d_bench.data.image_folder.files import Folder
from rpe2d_bench.data.image_folder.listing import sift
from rpe2d_bench.data.interface import SPLITS
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.image_source import open_images


def png(path: Path, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(path, "PNG")


def tree(root: Path, *classes: str, number: int = 30, tag: str = "") -> Path:
    for name in classes:
        for index in range(number):
            png(root / name / f"{tag}{name.replace('/', '_')}_{index}.png", index)
    return root


def build(root: Path, **options: object) -> ImageFolder:
    built = data.build({"name": "image_folder", "path": str(root), **options})
    assert isinstance(built, ImageFolder)
    return built


def files(dataset: ImageFolder, split: data.Split) -> set[str]:
    return set(dataset.files(split, np.arange(dataset.size(split))))


def test_links_are_followed_and_broken_ones_and_loops_are_counted(tmp_path: Path) -> None:
    source, root = tree(tmp_path / "source", "a", "b"), tree(tmp_path / "root", "c")
    for name in "ab":
        (root / name).symlink_to(source / name)
    (root / "c" / "linked.png").symlink_to(source / "a" / "a_0.png")
    (root / "c" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (root / "c" / "loop").symlink_to(root)
    (root / "c" / "self").symlink_to(root / "c" / "self")
    dataset = build(root)
    assert dataset.class_names == ("a", "b", "c")
    assert dataset.summary.startswith("91 images in 3 classes of 30 to 31")
    assert "1 link that leads nowhere (c/gone.png), 2 links that lead in a circle (c/loop, c/self)" in dataset.summary
    source_of_measure = open_images(root)
    assert source_of_measure.count == 91
    assert source_of_measure.notes["left out: links that lead nowhere (c/gone.png)"] == 1
    assert source_of_measure.notes["left out: links that lead in a circle (c/loop, c/self)"] == 2


def test_a_folder_is_read_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    outside, root = tree(tmp_path / "outside", "a/deep", "b", number=2), tree(tmp_path / "set" / "root", "c", number=2)
    for name, target in (
        ("0_c", root / "c"),  # read as itself, though the link's name comes first
        ("1", outside / "a" / "deep"),
        ("2", outside / "a" / "deep"),
        ("3", outside / "a"),  # all but its folder deep
        ("4", outside),  # all but a
        ("up", Path("/")),
        ("c/up", tmp_path / "set"),
        ("c/here", root / "c"),
    ):
        (root / name).symlink_to(target)
    (outside / "around").symlink_to(root)
    (outside / "back").symlink_to(outside)
    sifted = sift(Folder(root))
    wanted = "1/a_deep_0.png 1/a_deep_1.png 4/b/b_0.png 4/b/b_1.png c/c_0.png c/c_1.png"
    assert sifted.images == wanted.split()
    assert sifted.left_out == {
        "links that lead in a circle (4/around, 4/back, c/here, ...)": 5,
        "folders that are read already under another name (0_c, 2, 3/deep, ...)": 4,
    }


def test_links_among_folders_do_not_multiply(tmp_path: Path) -> None:
    """Each of twelve folders links to all others: 12! paths lead through them."""
    outside = tree(tmp_path / "outside", *"abcdefghijkl", number=1)
    for one in "abcdefghijkl":
        for other in "abcdefghijkl":
            (outside / one / f"to_{other}").symlink_to(outside / other)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(outside / "a")
    found = sift(Folder(tmp_path / "root"))
    assert len(found.images) == 12
    assert sum(found.left_out.values()) == 12 * 12 - 11


def test_hidden_and_system_files_are_left_out_and_counted(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "a", "b")
    for name in (".git/x.png", "a/.ipynb_checkpoints/a_0.png", "a/.ipynb_checkpoints/a_1.png", "__MACOSX/a/._a.png",
                 "b/._b_0.png", "a/@eaDir/thumb.jpg"):  # fmt: skip
        png(root / name)
    (root / "a" / "Thumbs.db").write_bytes(b"?")
    dataset = build(root)
    assert dataset.class_names == ("a", "b")
    assert dataset.summary.endswith("left out: 6 hidden files or folders")
    assert open_images(root).count == 60
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(root))
    assert build(tmp_path / "a.zip").summary == dataset.summary
    assert build(tmp_path / "a.zip").revision == dataset.revision


def test_files_beside_class_folders_and_files_that_are_no_images(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "a", "b")
    png(root / "cover.png")
    png(root / "a" / "UPPER.PNG")
    (root / "a" / "notes.txt").write_text("?")
    (root / "LICENSE").write_text("CC0")
    (root / "empty").mkdir()
    summary = build(root).summary
    assert summary.startswith("61 images in 2 classes of 30 to 31")
    assert summary.endswith(
        "left out: 2 files that are no images (LICENSE, .txt), 1 image beside the class folders (cover.png), "
        "1 folder without images (empty)"
    )
    assert open_images(root).count == 62  # classes do not matter there


def test_images_of_a_kind_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "a")
    (root / "a" / "photo.HEIC").write_bytes(b"?")
    for reader in (build, open_images):
        with pytest.raises(UserError, match=r"1 images that cannot be read here, first a/photo\.HEIC; convert"):
            reader(root)


def test_wrapping_folders_do_not_count_and_nested_ones_belong_to_their_class(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "set/images/a", "set/images/b")
    (root / "set" / "annotations").mkdir()
    (root / "set" / "annotations" / "a.xml").write_text("?")
    png(root / "set" / "images" / "a" / "more" / "x.png")
    dataset = build(root)
    assert dataset.class_names == ("a", "b")
    assert "1 in folders within their class's" in dataset.summary
    tiny = tree(tmp_path / "tiny", "n01/images", "n02/images")  # as Tiny ImageNet has it
    assert build(tiny).class_names == ("n01", "n02")


def test_folders_of_splits_are_the_splits(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "train/a", "train/b", "Test/a", "Test/b")
    dataset = build(root)
    assert dataset.class_names == ("a", "b")
    assert files(dataset, "test") == {f"Test/{c}/Test_{c}_{i}.png" for c in "ab" for i in range(30)}
    held_out = files(dataset, "validation")
    assert held_out
    assert all(name.startswith("train/") for name in held_out | files(dataset, "train"))
    assert "(the set's own folders)" in dataset.summary
    whole = build(tree(root, "val/a", "val/b", number=5))
    assert [whole.size(split) for split in SPLITS] == [60, 10, 60]
    assert open_images(root).notes["folders of splits taken together (Test, train, val)"] == 3


def test_flat_folders_of_splits_are_one_class(tmp_path: Path) -> None:
    dataset = build(tree(tmp_path / "root", "train2017", "val2017"))
    assert dataset.num_classes == 1
    assert all(name.startswith("val2017") for name in files(dataset, "validation"))


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/a", "train/b", "val"), "class folders in some of train, val but none in val"),
        (("train/a", "test/a", "other/a"), r"splits test, train beside other folders \(other\)"),
        (("train/a", "train/b", "extra"), "'train' with class folders in it beside 'extra' without"),
        (("train/a", "test/a", "test/b"), "class 'b' in its test folder but not in its train folder"),
        (("train/a", "val/a", "validation/a"), "two folders for one split"),
        (("test/a", "val/a"), "but no train"),
    ],
)
def test_folders_that_contradict_each_other_are_refused(tmp_path: Path, folders: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(tree(tmp_path / "root", *folders))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert build(tree(tmp_path / "root", "bus", "car", "train")).class_names == ("bus", "car", "train")


def test_images_without_folders_are_one_class(tmp_path: Path) -> None:
    for index in range(60):
        png(tmp_path / "root" / f"{index:03}.png", index)
    dataset = build(tmp_path / "root")
    assert dataset.class_names == ("unlabelled",)
    assert sum(dataset.size(split) for split in SPLITS) == 60


def test_a_class_without_training_images_is_stated(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "a")
    tests = [name.rpartition("/")[2] for name in files(build(root), "test")]
    (root / "b").mkdir()
    png(root / "b" / tests[0])  # images of one stem are on one side
    assert "without an image in the train split: b" in build(root).summary


def zipped(path: Path, names: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    png(tmp_path / "one.png")
    return (tmp_path / "one.png").read_bytes()


READERS = [
    lambda path: build(path).images("train", np.arange(2), (8, 8)),
    lambda path: list(open_images(path).batches(4)),
]


@pytest.mark.parametrize("reader", READERS, ids=["image_folder", "measure"])
@pytest.mark.parametrize(
    ("local", "central", "value", "message"),
    [
        (8, 10, 9, "compressed with Deflate64, which Windows Explorer writes"),
        (8, 10, 98, "compressed with PPMd"),
        (6, 8, 1, "is encrypted; unpack it"),
    ],
)
def test_zips_that_cannot_be_unpacked(tmp_path: Path, content: bytes, reader, local: int, central: int, value: int,
                                      message: str) -> None:  # fmt: skip
    path = zipped(tmp_path / "a.zip", {f"a/{i}.png": content for i in range(40)})
    raw = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        start = -1
        while (start := raw.find(mark, start + 1)) >= 0:
            raw[start + at : start + at + 2] = value.to_bytes(2, "little")
    path.write_bytes(raw)
    with pytest.raises(UserError, match=message):
        reader(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("reader", READERS, ids=["image_folder", "measure"])
def test_zips_with_odd_names_or_contents(tmp_path: Path, content: bytes, reader) -> None:
    good = {f"a/{i}.png": content for i in range(40)}
    for odd in ("../out.png", "/abs/out.png", "a/../../out.png", "C:/out.png"):
        with pytest.raises(UserError, match="leads out of it"):
            reader(zipped(tmp_path / "a.zip", {**good, odd: content}))
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        for name in [*good, "a/0.png"]:
            archive.writestr(name, content)
    with pytest.raises(UserError, match=r"'a/0\.png' twice"):
        reader(tmp_path / "twice.zip")
    whole = zipped(tmp_path / "whole.zip", good).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be opened as a zip"):
        reader(tmp_path / "cut.zip")
    flipped = bytearray(whole)
    flipped[whole.find(content) + 60] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises(UserError, match="CRC"):
        list(open_images(tmp_path / "flipped.zip").batches(4))
    reader(zipped(tmp_path / "windows.zip", {f"a\\{i}.png": content for i in range(40)}))
    reader(zipped(tmp_path / "dots.zip", {f"./a/{i}.png": content for i in range(40)}))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a/bomb.png": bytes(2**29 + 1)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"bomb\.png in .* holds 0\.5 GiB unpacked; one image has at most 512 MiB"):
        open_images(path)


def test_links_in_a_zip_are_counted(tmp_path: Path, content: bytes) -> None:
    path = zipped(tmp_path / "a.zip", {f"a/{i}.png": content for i in range(40)})
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "0.png")
    assert build(path).summary.endswith("left out: 1 link that leads nowhere (a/link.png)")


def test_a_zip_is_opened_once_a_process_and_again_when_it_changed(tmp_path: Path, content: bytes, monkeypatch) -> None:
    path, opened = zipped(tmp_path / "a.zip", {f"a/{i}.png": content for i in range(40)}), []
    plain = zipfile.ZipFile.__init__
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda self, *a, **k: (opened.append(a), plain(self, *a, **k))[1])
    dataset = build(path)
    for _ in range(3):
        dataset.images("train", np.arange(4), (8, 8))
    assert len(opened) == 1
    child = os.fork()
    if not child:  # a child shares the place in the file: it opens its own
        try:
            dataset.images("train", np.arange(4), (8, 8))
        finally:
            os._exit(len(opened))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    zipped(path, {f"a/{i}.png": content for i in range(50)})
    assert sum(build(path).size(split) for split in SPLITS) == 50
