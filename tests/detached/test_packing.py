"""Packed files: bounded, checked, complete; and the stand-ins of a bare machine against what they stand in for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from rpe2d_bench.detached import packing, stand_ins
from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.store import Store

ADDRESSES = [("train", "a" * 8), ("sample", "b" * 8), ("sample", "c" * 8)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "there")

    def work(folder: Path) -> None:
        noise = np.random.default_rng(len(list(made.root.rglob("*")))).bytes(5000)
        (folder / "samples.npz").write_bytes(noise)
        (folder / "weights.safetensors").write_bytes(noise[::-1])

    for stage, key in ADDRESSES:
        made.make(stage, key, work)
    return made


def test_small_parts_make_the_same_store(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PART", 4096)
    out, here = tmp_path / "out", Store(tmp_path / "here")
    assert packing.pack(store, "run", ADDRESSES, out, most=10**9) == (ADDRESSES, [])
    parts = [path for path in out.iterdir() if path.suffix != ".json"]
    assert len(parts) > 7
    assert all(path.stat().st_size <= 4096 for path in parts)
    assert packing.unpack([out], here) == (3, 0)
    for stage, key in ADDRESSES:
        folder = here.fetch(stage, key)
        assert folder is not None
        assert (folder / "samples.npz").read_bytes() == (store.folder(stage, key) / "samples.npz").read_bytes()
    assert packing.unpack([out], here) == (0, 3)
    assert not list((here.root / "detached").iterdir())


def test_what_is_damaged_or_missing_changes_nothing(store: Store, tmp_path: Path) -> None:
    out, here = tmp_path / "out", Store(tmp_path / "here")
    packing.pack(store, "run", ADDRESSES, out, most=10**9)
    part = next(path for path in out.iterdir() if path.suffix == ".000")
    whole = part.read_bytes()
    part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match="does not match its checksum"):
        packing.unpack([out], here)
    part.unlink()
    with pytest.raises(UserError, match="is missing; bring all parts"):
        packing.unpack([out], here)
    assert not (here.root / "stages").exists()
    with pytest.raises(UserError, match="nothing to unpack"):
        packing.unpack([tmp_path / "there"], here)


def test_calls_share_the_room_and_bring_each_stage_once(store: Store, tmp_path: Path) -> None:
    here = Store(tmp_path / "here")
    for number, (stage, key) in enumerate(ADDRESSES):
        written, waiting = packing.pack(store, "run", ADDRESSES, tmp_path / str(number), most=100)
        assert written == [(stage, key)]
        assert waiting == ADDRESSES[number + 1 :]
        packing.unpack([tmp_path / str(number)], here)
    assert packing.pack(store, "run", ADDRESSES, tmp_path / "more", most=100) == ([], [])
    assert not (tmp_path / "more").exists()
    assert packing.pack(store, "run", ADDRESSES, tmp_path / "again", most=10**9, again=True)[0] == ADDRESSES
    assert all(here.fetch(*address) for address in ADDRESSES)


def test_weights_can_stay(store: Store, tmp_path: Path) -> None:
    packing.pack(store, "run", ADDRESSES, tmp_path / "out", most=10**9, weights=False)
    here = Store(tmp_path / "here")
    packing.unpack([tmp_path / "out"], here)
    folder = here.fetch(*ADDRESSES[0])
    assert folder is not None
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "samples.npz"]


def test_an_archive_cannot_reach_outside_the_store(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    packing.pack(store, "run", ADDRESSES[:1], out, most=10**9)
    index = next(out.glob("*.json"))
    index.write_text(json.dumps(json.loads(index.read_text()) | {"stages": [["train", "../../escaped"]]}))
    with pytest.raises(UserError, match="not a finished training"):
        packing.unpack([index], Store(tmp_path / "here"))


def test_half_a_stage_in_the_store_gives_way(store: Store, tmp_path: Path) -> None:
    out, here = tmp_path / "out", Store(tmp_path / "here")
    packing.pack(store, "run", ADDRESSES, out, most=10**9)
    here.partial(*ADDRESSES[0]).mkdir(parents=True)
    shutil.copytree(store.folder(*ADDRESSES[1]), here.folder(*ADDRESSES[1]))
    (here.folder(*ADDRESSES[1]) / "samples.npz").write_bytes(b"damaged")
    assert packing.unpack([out], here) == (3, 0)
    assert not here.partial(*ADDRESSES[0]).exists()


def test_the_stand_in_for_safetensors_writes_and_reads_the_format(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    weights = {
        "a.weight": torch.randn(3, 5, generator=rng),
        "half": torch.randn(7, generator=rng).half(),
        "b": torch.randn(2, 2, 2, generator=rng).bfloat16(),
        "scalar": torch.tensor(3),
        "none": torch.zeros(0, 4),
    }
    stand_ins.save_file(weights, tmp_path / "ours")
    safetensors.torch.save_file(weights, tmp_path / "theirs", metadata={"format": "pt"})
    for read in (safetensors.torch.load_file(tmp_path / "ours"), stand_ins.load_file(tmp_path / "theirs")):
        assert set(read) == set(weights)
        for name, value in weights.items():
            assert read[name].dtype == value.dtype
            assert torch.equal(read[name], value)
