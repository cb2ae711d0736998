import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.measured import measure_arrays, measure_paths
from PIL import Image

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import observe, score
from rpe2d_bench.metrics.nets import table

NAMES = ["fd", "kid", "precision", "accuracy", "repetition"]


@pytest.fixture
def random_net(net, monkeypatch: pytest.MonkeyPatch):
    """The table knows a net called random, and a judge."""
    other = type(net)()
    other.name = "randomjudge"
    for each in (net, other):
        entry = table.NetEntry(each.name, True, False, lambda weights, classes, each=each: each)
        monkeypatch.setitem(table.FEATURE_NETS, each.name, entry)
    table.load_net.cache_clear()
    yield net
    table.load_net.cache_clear()


def write(path: Path, images: np.ndarray, *labels: np.ndarray) -> Path:
    np.savez(path, images.transpose(0, 2, 3, 1), *labels)
    return path


def test_paths_and_arrays_give_the_same_numbers(random_net, make_images, tmp_path: Path) -> None:
    generated, real = make_images(50, 0, (16, 12)), make_images(60, 1, (16, 12))
    labels = np.arange(50) % 4
    streamed = measure_paths(
        write(tmp_path / "g.npz", generated, labels), write(tmp_path / "r.npz", real), NAMES, "random",
        judge="randomjudge", batch_size=7,
    )  # fmt: skip
    direct = measure_arrays(generated, labels, real, metrics=NAMES, net="random", judge="randomjudge")
    assert streamed.values == pytest.approx(direct.values, rel=1e-5)
    assert streamed.details["counts"] == {"generated": 50, "reference": 60}
    assert streamed.details["warnings"] == direct.details["warnings"] != []
    side = streamed.details["sources"]["samples"]
    assert (side["found"], side["used"], side["sizes"]) == (50, 50, {"16x12": 50})
    assert "16x12 -> 8x8" in side["resize"]["whole"]


def test_a_count_takes_that_many_or_says_that_there_are_fewer(random_net, make_images, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.npz", make_images(30, seed)) for seed in (0, 1)]
    found = measure_paths(*paths, ["fd"], "random", count=20)
    assert found.details["counts"] == {"generated": 20, "reference": 20}
    same, other = (measure_paths(*paths, ["fd"], "random", count=20, seed=seed).values for seed in (0, 1))
    assert same == found.values != other  # a draw that the seed decides
    with pytest.raises(UserError, match=r"0.npz holds 30 images, but 31 were asked for"):
        measure_paths(*paths, ["fd"], "random", count=31)


def test_a_count_of_one_file_is_a_floor(random_net, make_images, tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", make_images(40, 0))
    assert measure_paths(path, path, ["fd"], "random").values["fd_random"] == pytest.approx(0, abs=1e-3)
    assert measure_paths(path, path, ["fd"], "random", count=20).values["fd_random"] > 0.01  # other images
    assert measure_paths(path, path, ["fd"], "random", count=30).values["fd_random"] == pytest.approx(0, abs=1e-3)


def test_mixed_sizes_are_resized_and_counted_or_refused(random_net, make_images, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for index in range(20):
        size = (8, 8) if index % 2 else (16, 12)
        Image.fromarray(make_images(1, index, size)[0, 0]).save(folder / f"{index}.png")
    reference = write(tmp_path / "r.npz", make_images(20, 99))
    found = measure_paths(folder, reference, ["fd"], "random")
    assert found.details["sources"]["samples"]["sizes"] == {"16x12": 10, "8x8": 10}
    assert found.details["resolution"] is None
    with pytest.raises(UserError, match="are mixed, but repetition compares images of one size"):
        measure_paths(folder, reference, ["fd", "repetition"], "random")


def test_progress_reaches_the_end_of_both_sides(random_net, make_images, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.npz", make_images(10, seed)) for seed in (0, 1)]
    seen: list[tuple[str, int, int]] = []
    measure_paths(*paths, ["fd"], "random", batch_size=6, progress=lambda *what: seen.append(what))
    assert seen == [("samples", 6, 10), ("samples", 10, 10), ("reference", 6, 10), ("reference", 10, 10)]


def test_memory_does_not_grow_with_the_count(random_net, make_images, tmp_path: Path) -> None:
    peaks = []
    for count in (300, 3000):
        path = write(tmp_path / f"{count}.npz", make_images(count, 0, (32, 32)))
        tracemalloc.start()
        measure_paths(path, path, ["fd"], "random")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 500_000  # 3000 images are 3 MB, their float versions 12 MB


def test_metrics_relative_to_training_take_its_resolution_and_its_images(
    random_net, make_images, tmp_path: Path
) -> None:
    names = ["kid_global", "kid_local", "repetition", "memorization"]
    sides = [make_images(40, seed, (24, 24)) for seed in (0, 1, 2)]
    paths = [write(tmp_path / f"{seed}.npz", side) for seed, side in enumerate(sides)]
    found = measure_paths(*paths[:2], names, "random", train_resolution=(16, 16), training=paths[2])
    seen, real, trained = (observe(side, metrics=names, net=random_net, train_resolution=(16, 16)) for side in sides)
    assert found.values == pytest.approx(score(seen, real, metrics=names, training=trained).values, rel=1e-5)
    assert "24x24 -> 16x16" in found.details["sources"]["samples"]["resize"]["global"]
    assert found.details["sources"]["training"]["used"] == 40
    with pytest.raises(UserError, match="kid_global is relative to the train resolution: give --train-resolution"):
        measure_paths(*paths[:2], ["kid_global"], "random")
    with pytest.raises(UserError, match="needs training images to compare with: give --training"):
        measure_paths(*paths[:2], ["memorization"], "random")
    with pytest.raises(UserError, match="accuracy needs the class each image shows: write it as arr_1"):
        measure_paths(*paths[:2], ["accuracy"], "random", judge="randomjudge")


def test_labels_of_both_sides_give_the_estimator_for_fixed_counts(random_net, make_images, tmp_path: Path) -> None:
    labels = np.arange(40) % 4
    paths = [write(tmp_path / f"{seed}.npz", make_images(40, seed), labels) for seed in (0, 1)]
    assert "fixed class counts" in measure_paths(*paths, ["kid"], "random").details["notes"]["kid_random"]


def test_features_larger_than_a_buffer_survive_many_batches(random_net, make_images, tmp_path: Path) -> None:
    random_net.num_features = 3000
    random_net.matrix = torch.randn(64, 3000, generator=torch.Generator().manual_seed(0)) / 255
    generated, real = make_images(30, 0), make_images(30, 1)
    paths = [write(tmp_path / f"{seed}.npz", side) for seed, side in enumerate((generated, real))]
    direct = measure_arrays(generated, None, real, metrics=["kid"], net="random")
    assert measure_paths(*paths, ["kid"], "random", batch_size=4).values == pytest.approx(direct.values, rel=1e-5)
