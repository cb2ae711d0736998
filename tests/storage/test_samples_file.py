"""Samples of any number and size are read in pieces, and what is measured of the pieces is what the whole gives."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers.planned import planned
from hypothesis import given, settings
from hypothesis import strategies as st

from rpe2d_bench.runner import run
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.store import Store


def some(count: int, side: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, side, side + 1), np.uint8)


@given(count=st.integers(1, 300), most=st.integers(1, 30_000))
@settings(max_examples=25)
def test_pieces_are_whole_batches_and_add_up(count: int, most: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path, images = tmp_path_factory.mktemp("samples") / "samples.npz", some(count)
    images_file.save(path, images, np.arange(count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images_file, "PIECE", most)
        pieces = list(images_file.pieces(path))
    assert all(len(piece) % images_file.BATCH == 0 for piece in pieces[:-1])
    assert all(piece.nbytes <= most or len(piece) <= images_file.BATCH for piece in pieces)
    np.testing.assert_array_equal(np.concatenate(pieces), images)


def test_the_front_the_shape_and_the_labels(tmp_path: Path) -> None:
    path, images = tmp_path / "samples.npz", some(9)
    images_file.save(path, images, np.arange(9) % 4)
    for count in (0, 1, 5, 9, 20):
        np.testing.assert_array_equal(images_file.first(path, count), images[:count])
    assert images_file.shape(path) == images.shape
    assert images_file.labels(path).tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]


def test_memory_holds_a_piece_and_not_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, images = tmp_path / "samples.npz", np.zeros((640, 3, 64, 64), np.uint8)
    images_file.save(path, images, np.zeros(640, np.int64))
    monkeypatch.setattr(images_file, "PIECE", 1)
    tracemalloc.start()
    count = sum(len(piece) for piece in images_file.pieces(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 640
    assert peak < images.nbytes / 2


@pytest.mark.parametrize("damage", ["cut", "overwritten", "missing"])
def test_a_damaged_file_raises_what_readers_expect(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    images_file.save(path, some(400, 16), np.zeros(400, np.int64))
    stored = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(stored[: len(stored) // 2])
    elif damage == "overwritten":
        stored[2000:9000] = bytes(7000)
        path.write_bytes(stored)
    else:
        path.unlink()
    with pytest.raises(images_file.UNREADABLE):
        images_file.first(path, 400)


@pytest.mark.filterwarnings("error:The given NumPy array")
def test_measured_in_pieces_as_in_one(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ("train.steps=2", "evaluate.num_samples=150", "methods.upscaled={model: rpe2d, upscale: true}")
    plan = planned(tiny, *overrides, only=["rpe2d", "upscaled"])
    whole, pieces = Store(tmp_path / "whole"), Store(tmp_path / "pieces")
    run(plan, whole, engine="local")
    monkeypatch.setattr(images_file, "PIECE", 1)
    run(plan, pieces, engine="local")
    cells = [cell.measure for trial in plan.trials for cell in trial.cells]
    assert any(cell.generated.resolution != cell.reference.resolution for cell in cells)
    for cell in cells:
        found = [
            json.loads((store.folder("measure", cell.key) / "result.json").read_text()) for store in (whole, pieces)
        ]
        assert found[0]["values"] == found[1]["values"]
