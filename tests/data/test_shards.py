"""Tar shards and parquet: the same images and records as the folder that they were packed from, and odd shards."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rpe2d_bench.data.image_folder import kept_index, parquet_files, tar_files
from rpe2d_bench.data.image_folder.containers import open_files
from rpe2d_bench.data.image_folder.dataset import ImageFolder, ImageFolderOptions
from rpe2d_bench.data.image_folder.shards import braces, class_folders
from rpe2d_bench.data.interface import SPLITS
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.image_source import open_images

Sample = tuple[str, str, bytes]  # class, key, PNG


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_index, "_HELD", {})
    return tmp_path / "cache" / "rpe2d-bench" / "indices"


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    draws = np.random.default_rng(0)
    found = []
    for number in range(60):
        out = io.BytesIO()
        Image.fromarray(draws.integers(0, 256, (12, 14, 3), dtype=np.uint8)).save(out, "png")
        found.append((("cat", "dog", "owl")[number % 3], f"p{number:02}", out.getvalue()))
    return found


def tar(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files:
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))
    return path


def webdataset(samples: Iterable[Sample]) -> list[tuple[str, bytes]]:
    return [file for name, key, png in samples for file in ((f"{key}.cls", name.encode()), (f"{key}.png", png))]


def parquet(path: Path, samples: list[Sample], labels: list[object] | None = None, names: list[str] | None = None,
            **columns: list[object]) -> Path:  # fmt: skip
    import pyarrow as pa
    from pyarrow import parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({
        "image": [{"bytes": png, "path": f"{key}.png"} for _, key, png in samples],
        "label": labels or [name for name, _, _ in samples],
        **columns,
    })  # fmt: skip
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=7)
    return path


def built(path: Path | str) -> ImageFolder:
    dataset = ImageFolderOptions(str(path), test_share=0.3, validation_share=0.2).build()
    assert isinstance(dataset, ImageFolder)
    return dataset


@pytest.fixture
def containers(tmp_path: Path, samples: list[Sample]) -> dict[str, Path | str]:
    """The same images in every container."""
    for name, key, png in samples:
        (tmp_path / "folder" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name / f"{key}.png").write_bytes(png)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name, key, png in samples:
            archive.writestr(f"{name}/{key}.png", png)
    for number in range(4):
        part = samples[number * 15 : (number + 1) * 15]
        tar(tmp_path / "shards" / f"{number:05}.tar", webdataset(part))
        numbers: list[object] = [("cat", "dog", "owl").index(name) for name, _, _ in part]
        parquet(tmp_path / "hf" / f"train-{number:05}-of-00004.parquet", part, numbers, ["cat", "dog", "owl"])
    return {
        "folder": tmp_path / "folder",
        "zip": tmp_path / "images.zip",
        "tar of folders": tar(tmp_path / "plain.tar", [(f"{name}/{key}.png", png) for name, key, png in samples]),
        "tars": tmp_path / "shards",
        "braces": f"{tmp_path}/shards/{{00000..00003}}.tar",
        "glob": f"{tmp_path}/shards/*.tar",
        "parquet": tmp_path / "hf",
        "one parquet": parquet(tmp_path / "all.parquet", samples),
    }


def test_every_container_is_the_same_data_set(containers: dict[str, Path | str]) -> None:
    datasets = {name: built(path) for name, path in containers.items()}
    folder = datasets.pop("folder")
    assert folder.class_names == ("cat", "dog", "owl")
    for name, dataset in datasets.items():
        assert dataset.class_names == folder.class_names, name
        for split in SPLITS:
            all_of_it = np.arange(folder.size(split))
            assert [Path(f).name for f in dataset.files(split, all_of_it)] == [
                Path(f).name for f in folder.files(split, all_of_it)
            ], name
            assert (dataset.labels(split, all_of_it) == folder.labels(split, all_of_it)).all()
            assert (dataset.images(split, all_of_it, (8, 8)) == folder.images(split, all_of_it, (8, 8))).all(), name
        assert dataset.revision == folder.revision, name


def test_threads_read_what_one_reads(containers: dict[str, Path | str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "GROUPS_BYTES", 3000)  # about a row group
    monkeypatch.setattr(parquet_files, "TOGETHER", 5)
    tar_files._opened.cache_clear()
    for path in (containers["tars"], containers["parquet"]):
        files = open_files(Path(path))
        names = files.entries().files
        expected = list(files.read(names))
        orders = [list(np.random.default_rng(seed).permutation(len(names))) for seed in range(8)]
        with ThreadPoolExecutor(4) as pool:
            under_way = [pool.submit(lambda wanted, of: list(of.read(wanted)), [names[at] for at in order], files)
                         for order in orders]  # fmt: skip
        for got, order in zip(under_way, orders, strict=True):
            assert got.result() == [expected[at] for at in order]


def test_an_index_and_checksums_are_made_once(
    containers: dict[str, Path | str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = built(containers["tars"]).revision
    assert len(list(cache.iterdir())) == 2
    kept_index._HELD.clear()  # as in another process
    monkeypatch.setattr(tar_files, "_members", None)
    monkeypatch.setattr(tar_files.Tar, "_read_through", None)
    assert built(containers["tars"]).revision == revision
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent.parent))
    shard = Path(containers["tars"]) / "00000.tar"
    out = io.BytesIO()
    Image.new("RGB", (12, 14)).save(out, "png")
    tar(shard, [*webdataset([("cat", "new", out.getvalue())])])
    assert built(containers["tars"]).revision != revision
    for file in cache.iterdir():  # damaged: made again
        file.write_bytes(b"no npz")
    kept_index._HELD.clear()
    assert built(containers["zip"]).revision == revision


def test_measure_reads_shards(containers: dict[str, Path | str]) -> None:
    folder, shards = open_images(Path(containers["folder"])), open_images(Path(containers["tars"]))
    parquets = open_images(Path(containers["one parquet"]))
    assert folder.count == shards.count == parquets.count == 60
    assert folder.digest == shards.digest == parquets.digest


def test_splits_stand_in_the_names_of_files(tmp_path: Path, samples: list[Sample]) -> None:
    for split, part in {"train": samples[:40], "validation": samples[40:50], "test": samples[50:]}.items():
        parquet(tmp_path / "hf" / f"{split}-00000-of-00001.parquet", part)
        tar(tmp_path / "wds" / f"set-{split}-000.tar", webdataset(part))
        tar(tmp_path / "in" / split / "000.tar", webdataset(part))
    for path in (tmp_path / "hf", tmp_path / "wds", f"{tmp_path}/in/{{train,validation,test}}/*.tar"):
        dataset = built(path)
        assert [dataset.size(split) for split in SPLITS] == [40, 10, 10]
        assert "the set's own folders" in dataset.summary
    tar(tmp_path / "wds" / "more.tar", webdataset(samples[:1]))
    with pytest.raises(UserError, match=r"more\.tar is of no split"):
        built(tmp_path / "wds")


def test_samples_of_one_name_in_several_shards_are_distinct(tmp_path: Path, samples: list[Sample]) -> None:
    for number in range(2):
        part = [("cat", key, png) for _, key, png in samples[number * 30 : number * 30 + 30]]
        tar(tmp_path / "t" / f"{number}.tar", webdataset([(c, f"{i:03}", png) for i, (c, _, png) in enumerate(part)]))
        parquet(tmp_path / "p" / f"{number}.parquet", [(c, "same", png) for c, _, png in part])
    for folder in ("t", "p"):
        dataset = built(tmp_path / folder)
        assert sum(dataset.size(split) for split in SPLITS) == 60
        assert dataset.class_names == ("cat",)


def test_classes_keep_their_numbers() -> None:
    assert class_folders([0, 11, 3]) == ["00", "11", "03"]
    assert class_folders(["2", "10"]) == ["02", "10"]
    assert class_folders([1, 0], ["cat", "dog"]) == ["dog", "cat"]
    assert class_folders([1, 0], ["tench", "a/fish"]) == ["1 a_fish", "0 tench"]
    assert class_folders([1, 2], ["a", "crane", "crane"]) == ["1 crane", "2 crane"]


def test_braces() -> None:
    assert list(braces("a/{08..10}.tar")) == ["a/08.tar", "a/09.tar", "a/10.tar"]
    assert list(braces("{train,val}-{0..1}.tar")) == ["train-0.tar", "train-1.tar", "val-0.tar", "val-1.tar"]


def cut(path: Path, at: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * at)])


def overwritten(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at : at + 100] = b"\xff" * 100
    path.write_bytes(raw)


def packed(path: Path) -> None:
    import gzip

    path.write_bytes(gzip.compress(path.read_bytes()))


@pytest.mark.parametrize("damage", [
    (lambda path: cut(path, 0.5), "cannot be read as a tar"),
    (lambda path: cut(path, 0.0), "cannot be read as a tar"),
    (lambda path: path.write_bytes(path.read_bytes().rstrip(b"\0")), "cannot be read as a tar"),
    # a header in the middle, where tarfile would stop as if the archive ended
    (lambda path: overwritten(path, path.read_bytes().find(b"p10.cls")), "no end where it should be"),
    (packed, "is compressed; unpack it"),
])  # fmt: skip
def test_a_damaged_tar_is_refused(tmp_path: Path, samples: list[Sample], damage: tuple[Callable, str]) -> None:
    path = tar(tmp_path / "a.tar", webdataset(samples))
    damage[0](path)
    with pytest.raises(UserError, match=damage[1]):
        built(path)


def test_odd_tars_get_one_sentence(tmp_path: Path, samples: list[Sample]) -> None:
    good = webdataset(samples)
    png = samples[0][2]
    cases: list[tuple[list[tuple[str, bytes]], str]] = [
        ([*good, ("q.png", png)], r"has no class for q\.png, which others have"),
        ([*good, ("p00.mask.png", png)], r"two images in the sample p00"),
        ([*good, ("q.png", png), ("q.cls", b"7")], "some classes are numbers, others words"),
        ([*good, ("q.png", png), ("q.cls", b" ")], "a class is empty"),
        ([*good, ("q.png", png), ("q.json", b"{")], r"q\.json in .* cannot be read as a class"),
        ([("q.png", png), ("q.cls", b"-1")], "the class -1 is none"),
        ([*good, ("../q.png", png)], "leads out of it"),
        ([*good, ("p00.png", png)], r"'p00\.png' twice"),
        ([("a.txt", b"")], "has no images"),
    ]
    for files, message in cases:
        with pytest.raises(UserError, match=message):
            built(tar(tmp_path / "a.tar", files))


def test_a_class_may_stand_in_json_beside_other_files(tmp_path: Path, samples: list[Sample]) -> None:
    files = [
        (f"{key}.{kind}", content)
        for name, key, png in samples
        for kind, content in (("json", json.dumps({"label": name}).encode()), ("png", png), ("txt", b"words"))
    ]
    dataset = built(tar(tmp_path / "a.tar", files))
    assert dataset.class_names == ("cat", "dog", "owl")
    assert "60 files that are no images (.txt)" in dataset.summary


def test_odd_parquet_gets_one_sentence(tmp_path: Path, samples: list[Sample]) -> None:
    path = tmp_path / "a.parquet"
    import pyarrow as pa
    from pyarrow import parquet as pq

    cases: list[tuple[dict[str, list[object]], str]] = [
        ({"label": [1]}, "has no column of images"),
        ({"image": [{"bytes": b"", "path": ""}]}, "has no column `label` but image"),
        ({"a": [{"bytes": b""}], "b": [{"bytes": b""}], "label": [0]}, "several columns of images"),
        ({"image": [{"bytes": b""}], "label": [None]}, "has no class in row 0"),
        ({"image": [{"bytes": b""}], "label": [-1]}, "the class -1 is none"),
        ({"image": [], "label": []}, "has no column of images|has no rows"),
    ]
    for columns, message in cases:
        pq.write_table(pa.table(columns), path)
        with pytest.raises(UserError, match=message):
            built(path)
    parquet(path, samples)
    cut(path, 0.6)
    with pytest.raises(UserError, match="cannot be read as parquet"):
        built(path)
    pq.write_table(pa.table({"image": [{"bytes": None, "path": "x.png"}], "label": ["a"]}), path)
    with pytest.raises(UserError, match=r"a/x\.png in .* is a path without an image"):
        list(open_files(path).read(["a/x.png"]))


def test_what_is_missing_or_mixed_is_refused(tmp_path: Path, samples: list[Sample]) -> None:
    for number in (0, 2):
        tar(tmp_path / "s" / f"{number:02}.tar", webdataset(samples))
    with pytest.raises(UserError, match=r"01\.tar does not exist"):
        built(f"{tmp_path}/s/{{00..02}}.tar")
    with pytest.raises(UserError, match="does not exist; give a folder, a zip"):
        built(f"{tmp_path}/none-{{00..02}}.tar")
    counted = ImageFolderOptions(f"{tmp_path}/none-{{00..02}}.tar", classes=3, files=60)
    assert "is not there yet" in counted.build().summary
    (tmp_path / "s" / "a.png").write_bytes(samples[0][2])
    with pytest.raises(UserError, match=r"has images \(a\.png\) beside shards"):
        built(tmp_path / "s")
    (tmp_path / "d" / "00.tar").mkdir(parents=True)
    with pytest.raises(UserError, match=r"00\.tar cannot be read as a tar"):
        built(f"{tmp_path}/d/*.tar")
    with pytest.raises(UserError, match=r"is \.png and \.tar files"):
        built(f"{tmp_path}/s/*")
    parquet(tmp_path / "h" / "train-00000-of-00002.parquet", samples)
    with pytest.raises(UserError, match="has 1 of 2 files of train"):
        built(tmp_path / "h")
