"""What a report reads of a store, as parts of a tar: `python scripts/pack_store.py STORE OUT`.

`cat OUT/store.tar.* | tar xJ` unpacks them. Left out: weights, unfinished stages, pools of images, samples of every
seed but the first, and the features of images where several seeds were trained: intervals are over seeds there.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from rpe2d_bench.storage import records

PART = 15 * 2**20  # bytes


def paths(store: Path) -> list[Path]:
    """Files to take along, below the store."""
    found = records.read(store)
    seeds = {
        name: sorted({r.seed for r in found if r.experiment == name and r.seed is not None})
        for name in {r.experiment for r in found}
    }
    first = {name: of_name[0] for name, of_name in seeds.items() if of_name}
    by_images = any(len(of_name) == 1 for of_name in seeds.values())
    shown = {str(r.artifacts.samples) for r in found if r.artifacts.samples and r.seed == first.get(r.experiment)}
    stages = [path for path in sorted((store / "stages").rglob("*")) if path.is_file() and ".partial" not in str(path)]
    wanted = [path for path in stages if path.name != "weights.safetensors" and path.parts[-3] != "search"]
    wanted = [path for path in wanted if by_images or path.name != "observations.npz"]
    wanted = [path for path in wanted if path.name != "samples.npz" or path.relative_to(store).as_posix() in shown]
    return [store / records.RECORDS_FILE, *(path for path in store.glob("machine.json")), *wanted]


def main() -> None:
    store, out = Path(sys.argv[1]), Path(sys.argv[2])
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz", preset=1) as archive:
        for path in paths(store):
            archive.add(path, path.relative_to(store).as_posix())
    whole = content.getvalue()
    for number, start in enumerate(range(0, len(whole), PART)):
        (out / f"store.tar.{number:02}").write_bytes(whole[start : start + PART])
    print(f"{len(whole) / 2**20:.1f} MiB of {store} packed")


if __name__ == "__main__":
    main()
