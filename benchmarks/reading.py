"""How fast images are read: the same invented photographs in a folder, a zip, tar shards and parquet.

python -m benchmarks.reading [--out FILE.json] [--images N] [--resolution N]

Images a second of one process, decoded and resized, in the mixed order in which pools are made, with one thread and
with two, by the clock and by the processor's time (which other work leaves alone, as long as it does not empty the
caches); and seconds until the index and the checksums are there, at first and from what was kept. The files are in the
page cache: this is what reading costs a processor, not a disk. Parquet has row groups of 100 images, as Hugging Face
writes them; of a set that is larger than the groups that are held in memory, each image reads its group anew.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from rpe2d_bench.data.image_folder import kept_index, parquet_files
from rpe2d_bench.data.image_folder.dataset import ImageFolder, ImageFolderOptions

SIZE, SHARD, GROUP, PIECE = (375, 500), 250, 100, 32  # px of an image; images of a shard, a row group, a thread's turn
Photograph = tuple[str, str, bytes]


def photographs(count: int) -> list[Photograph]:
    """Class, name and JPEG of smooth random images of an ordinary size, about 50 KiB each."""
    draws, found = np.random.default_rng(0), []
    for number in range(count):
        small = Image.fromarray(draws.integers(0, 256, (48, 64, 3), dtype=np.uint8))
        out = io.BytesIO()
        small.resize(SIZE[::-1], Image.Resampling.BICUBIC).save(out, "jpeg", quality=95)
        found.append((f"{number % 10}", f"{number:06d}", out.getvalue()))
    return found


def written(root: Path, images: list[Photograph]) -> dict[str, Path]:
    """The containers, each with all images."""
    for name, key, content in images:
        (root / "folder" / name).mkdir(parents=True, exist_ok=True)
        (root / "folder" / name / f"{key}.jpg").write_bytes(content)
    with zipfile.ZipFile(root / "images.zip", "w") as archive:
        for name, key, content in images:
            archive.writestr(f"{name}/{key}.jpg", content)
    for kind in ("tar", "parquet"):
        (root / kind).mkdir()
    for start in range(0, len(images), SHARD):
        part = images[start : start + SHARD]
        with tarfile.open(root / "tar" / f"{start:06d}.tar", "w") as shard:
            for name, key, content in part:
                for end, data in (("cls", name.encode()), ("jpg", content)):
                    item = tarfile.TarInfo(f"{key}.{end}")
                    item.size = len(data)
                    shard.addfile(item, io.BytesIO(data))
        table = pa.table(
            {"image": [{"bytes": c, "path": f"{k}.jpg"} for _, k, c in part], "label": [n for n, _, _ in part]}
        )
        parquet.write_table(table, root / "parquet" / f"{start:06d}.parquet", row_group_size=GROUP)
    return {"folder": root / "folder", "zip": root / "images.zip", "tar": root / "tar", "parquet": root / "parquet"}


def seconds(call: Callable[[], Any]) -> float:
    """Of the clock."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def rates(dataset: ImageFolder, resolution: int, threads: int) -> dict[str, float]:
    """Images of the training split in its order, a second of the clock and of the processor."""
    indices = np.arange(dataset.size("train"))
    pieces = np.array_split(indices, len(indices) // PIECE)

    def read() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda piece: dataset.images("train", piece, (resolution, resolution)), pieces))

    used = time.process_time()
    passed = seconds(read)
    used = time.process_time() - used
    return {f"images_per_s_{threads}": len(indices) / passed, f"images_per_cpu_s_{threads}": len(indices) / used}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--resolution", type=int, default=256)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        for kind, path in written(Path(folder), photographs(options.images)).items():
            row: dict[str, Any] = {"container": kind}
            for when in ("first_s", "again_s"):
                kept_index._HELD.clear()
                row[when] = seconds(lambda path=path: ImageFolder(ImageFolderOptions(str(path))).revision)  # type: ignore[misc]
            dataset = ImageFolder(ImageFolderOptions(str(path)))
            dataset.images("train", np.arange(PIECE), (options.resolution, options.resolution))
            row |= rates(dataset, options.resolution, 1) | rates(dataset, options.resolution, 2)
            rows.append(row)
            print(json.dumps(row), flush=True)
        parquet_files.GROUPS_BYTES = 0  # the last of the loop, as a set larger than memory
        row = {"container": "parquet, no group held"}
        rows.append(row | rates(dataset, options.resolution, 1) | rates(dataset, options.resolution, 2))
        print(json.dumps(rows[-1]), flush=True)
    if options.out:
        about = {"processor": platform.processor() or platform.machine(), "load": os.getloadavg()[0]}
        found = {"note": "beside other work", "machine": about, "images": options.images, "px": options.resolution}
        options.out.write_text(json.dumps(found | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
