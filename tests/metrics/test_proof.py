import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rpe2d_bench.errors import UserError
from scripts import metric_proof


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    source = metric_proof.glyph_source(count=100, floors=3, resolution=32, train=16)
    names = ["fd", "kid", "fd_local", "accuracy", "repetition", "memorization"]
    return list(metric_proof.run(source, names, ["blur", "tiling", "memorization"]))


def excess(rows: list[dict[str, object]], corruption: str, metric: str) -> list[float]:
    return [row["excess"] for row in rows if (row["corruption"], row["metric"]) == (corruption, metric)]


def test_distances_rise_with_blur_and_tiling(rows) -> None:
    for corruption in ("blur", "tiling"):
        for metric in ("fd", "kid"):
            found = excess(rows, corruption, metric)
            assert found[-1] > 10
            assert np.argmax(found) >= 3


def test_each_check_sees_its_own_fault(rows) -> None:
    assert excess(rows, "tiling", "repetition")[-1] > 10
    assert excess(rows, "memorization", "memorization")[-1] > 3
    assert max(map(abs, excess(rows, "memorization", "repetition"))) < 5


def test_the_command_writes_every_row(tmp_path: Path) -> None:
    metric_proof.main(
        [str(tmp_path / "p.csv"), "--count", "20", "--floors", "2", "--metrics", "fd", "--corruptions", "emptying"]
    )
    with (tmp_path / "p.csv").open() as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0]) == metric_proof.COLUMNS
    assert [float(row["strength"]) for row in found] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert float(found[-1]["value"]) > float(found[0]["value"])


def test_folders_give_disjoint_sets_or_say_what_is_missing(tmp_path: Path) -> None:
    for index in range(12):
        folder = tmp_path / "ab"[index % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.full((10, 14, 3), index, np.uint8)).save(folder / f"{index}.png")
    source = metric_proof.folder_source(tmp_path, count=3, floors=2, resolution=8, train=4)
    seen = [int(image[0, 0, 0]) for images, _ in source.sets for image in images]
    assert sorted(seen) == list(range(12))
    assert all(label == int(p[0, 0, 0]) % 2 for ps, labels in source.sets for p, label in zip(ps, labels, strict=True))
    with pytest.raises(UserError, match="holds 12 images, but 4 sets of 4 are needed"):
        metric_proof.folder_source(tmp_path, count=4, floors=2)
    with pytest.raises(UserError, match="at least 2"):
        metric_proof.main([str(tmp_path / "p.csv"), "--floors", "1"])
