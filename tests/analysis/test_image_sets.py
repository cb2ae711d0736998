"""Sets of images side by side: differences that are there are found, others are not, and files keep what was seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.measured import measure_paths

import rpe2d_bench
from rpe2d_bench.errors import UserError

RNG = np.random.default_rng(0)


def write(path: Path, images: np.ndarray, labels: np.ndarray | None = None) -> Path:
    np.savez(path, images, *([] if labels is None else [labels]))
    return path


def images(count: int = 60) -> np.ndarray:
    return RNG.integers(0, 256, (count, 16, 16, 1), dtype=np.uint8)


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, Path]:
    """Real images; two sets as good as these that share most of each image; one that is worse."""
    good = images()
    alike = good.copy()
    alike[:, 0, 0] ^= 1
    shown = {"real": images(), "good": good, "alike": alike, "dark": good // 8}
    return {name: write(tmp_path / f"{name}.npz", each) for name, each in shown.items()}


def test_one_line_in_python_gives_values_intervals_and_paired_differences(sets: dict[str, Path]) -> None:
    names = ["fd", "kid", "precision"]
    found = rpe2d_bench.measure(
        sets["good"], sets["alike"], sets["dark"], reference=sets["real"], metrics=names, net="glyphnet", store=None
    )
    rows = found.set_index(["set", "metric"])
    assert len(rows) == 9
    direct = measure_paths(sets["dark"], sets["real"], names, "glyphnet")
    assert rows.loc["dark"]["value"].to_dict() == pytest.approx(direct.values)
    assert (rows["low"] <= rows["value"] + 1e-9).all()
    assert (rows["value"] <= rows["high"] + 1e-9).all()
    fd = rows.xs("fd_glyphnet", level="metric")
    assert fd["verdict"].to_dict()["alike"] == "not separated"
    assert fd["verdict"].to_dict()["dark"] == "worse"
    assert fd["difference"]["dark"] == pytest.approx(fd["value"]["dark"] - fd["value"]["good"], rel=1e-6)
    paired = fd["difference_high"]["alike"] - fd["difference_low"]["alike"]
    assert paired < 0.2 * (fd["high"]["alike"] - fd["low"]["alike"])  # what the sets share cancels
    assert (fd["p_adjusted"].dropna() >= fd["p"].dropna()).all()
    turned = rpe2d_bench.measure(
        sets["good"], sets["dark"], reference=sets["real"], metrics=("fd",), net="glyphnet", against="dark", store=None
    )
    assert turned.set_index("set")["verdict"]["good"] == "better"


def test_stored_features_are_used_and_damaged_ones_taken_again(sets: dict[str, Path], tmp_path: Path) -> None:
    from rpe2d_bench.analysis.image_sets import compare_sets
    from rpe2d_bench.metrics.look import Look

    warned: list[str] = []
    taken: list[str] = []

    def values(**look: object) -> dict[str, float]:
        asked = Look(**{"metrics": ("kid", "accuracy"), "net": "glyphnet", "judge": "glyphjudge", **look})  # type: ignore[arg-type]
        (found,) = compare_sets(
            [write(tmp_path / "samples.npz", np.load(sets["good"])["arr_0"], np.arange(60) % 10)], sets["real"], asked,
            store=tmp_path / "store", progress=lambda side, *_: taken.append(side), say=warned.append, resamples=50,
        )  # fmt: skip
        return found.measurement.values

    first = values()
    assert set(taken) == {"samples", "reference"}
    taken.clear()
    assert values() == first
    assert not taken
    values(count=30)  # other images, another place
    assert set(taken) == {"samples", "reference"}
    taken.clear()
    for rows in (tmp_path / "store" / "features").glob("*/judge.logits"):
        rows.write_bytes(rows.read_bytes()[:-4] + b"\0\0\0\1")
    assert values() == first
    assert set(taken) == {"samples", "reference"}
    assert len(warned) == 2
    assert all("is not as it was written" in sentence for sentence in warned)


def test_folders_are_paired_by_the_names_of_their_files(tmp_path: Path, sets: dict[str, Path]) -> None:
    from PIL import Image

    for name, prefix in (("one", "a"), ("same", "a"), ("else", "b")):
        (tmp_path / name).mkdir()
        for index, image in enumerate(images()):
            Image.fromarray(image[:, :, 0]).save(tmp_path / name / f"{prefix}{index:02}.png")
    found = rpe2d_bench.measure(
        *(tmp_path / name for name in ("one", "same", "else")), reference=sets["real"], metrics=["kid"],
        net="glyphnet", store=None,
    ).set_index("set")  # fmt: skip
    assert found["against"].to_dict()["same"] == "one"
    assert found["against"].isna()["else"]


def test_a_set_may_be_called_reference_and_none_is_no_set(tmp_path: Path, sets: dict[str, Path]) -> None:
    place = write(tmp_path / "reference.npz", images())
    found = rpe2d_bench.measure(place, reference=sets["real"], metrics=["kid"], net="glyphnet", store=None)
    assert found["set"][0].endswith("reference.npz")
    with pytest.raises(UserError, match="no images to measure; give at least one"):
        rpe2d_bench.measure(reference=sets["real"])
