"""An experiment whose FID is taken from published statistics: values, cache, and what is refused with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_experiment import TINY
from torch import Tensor, nn

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import fd, load_observations
from rpe2d_bench.metrics.nets import table
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store

D = 12
TEXT = (
    TINY.replace("data: {name: glyphs}", "data: {name: glyphs, channels: 3}")
    .replace("metrics: [kid, accuracy]", "metrics: [fid_adm, kid]\n  features: inception-adm\n  classifier: null\n"
             "  reference: {statistics: all.npz}")
    .replace("  ntk: {model: rope, frequencies: {kind: ntk}}\n  rpe2d: {model: rpe2d}\n", "")
    .replace("test: [16, 24, [16, 32]]", "test: [16, [16, 32]]").replace("  rpe2d:\n    encoding: {kind: axial_rope, "
             "positions: {kind: random, max_grid: [8, 8]}}\n    crops: {kind: resize_and_crop}\n", "")
    .replace("main_metric: kid, reference_method: ntk", "main_metric: fid_adm")
)  # fmt: skip


class Plain:
    """Stands for the Inception net, whose weights are not shipped: means of a 2 x 2 grid of each colour."""

    name, version, num_features, channels = "inception-adm", "1", D, 3
    input_size: tuple[int, int] | None = None
    resizing = "none"

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, None]:
        return nn.functional.adaptive_avg_pool2d(images_NCHW, 2).flatten(1) / 255, None


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(
        table.FEATURE_NETS, "inception-adm", table.NetEntry("inception-adm", False, False, lambda *_: Plain())
    )
    table.load_net.cache_clear()
    yield
    table.load_net.cache_clear()


def statistics(path: Path, seed: int, width: int = D) -> fd.Gaussian:
    """As in ADM's VIRTUAL_imagenet256_labeled.npz: mu, sigma, those of spatial features, and images."""
    rng = np.random.default_rng(seed)
    mean, root = rng.normal(0.5, 0.1, width), rng.normal(0, 0.05, (40, width))
    covariance = np.cov(root, rowvar=False)
    others = {"mu_s": mean, "sigma_s": covariance, "arr_0": np.zeros((2, 4, 4, 3), np.uint8)}
    np.savez(path, mu=mean, sigma=covariance, **others)  # type: ignore[arg-type]
    return fd.from_moments(mean, covariance, 0)


def planned(folder: Path, text: str = TEXT) -> Plan:
    (folder / "tiny.yaml").write_text(text)
    return make_plan(load_experiment(folder / "tiny.yaml"))


def scores(records: list[Record]) -> dict[tuple[str, tuple[int, int]], float]:
    assert [record.error for record in records if record.status == "failed"] == []
    measured = [r for r in records if r.stage in ("measure", "floor")]
    return {(r.stage, r.test_resolution): r.metrics["fid_adm"] for r in measured}  # type: ignore[misc]


def test_fid_is_the_distance_from_the_statistics_of_its_size(tmp_path: Path) -> None:
    store, whole = Store(tmp_path / "runs"), statistics(tmp_path / "all.npz", 0)
    wide = statistics(tmp_path / "wide.npz", 1)
    plan = planned(tmp_path)
    found = run(plan, store, engine="local")
    values = scores(found)
    for cell in plan.trials[0].cells:
        seen = load_observations(store.folder("measure", cell.measure.key) / "observations.npz")
        expected = fd.distance(fd.fit(seen.views["whole"].features_ND), whole)
        assert values["measure", cell.test_resolution] == pytest.approx(expected, rel=1e-9)
    record = next(r for r in found if r.stage == "measure")
    assert record.measurement is not None
    assert record.measurement.notes["fid_adm"] == "12 images against mu and sigma of all.npz"

    by_size = planned(tmp_path, TEXT.replace("statistics: all.npz", "statistics: {'16': all.npz, 16x32: wide.npz}"))
    samples = {path: path.stat().st_mtime_ns for path in (store.root / "stages" / "sample").rglob("samples.npz")}
    again = scores(run(by_size, store, engine="local"))
    assert {path: path.stat().st_mtime_ns for path in samples} == samples
    assert again["measure", (16, 16)] == values["measure", (16, 16)]
    assert again["floor", (16, 16)] == values["floor", (16, 16)]
    assert again["measure", (16, 32)] != values["measure", (16, 32)]
    assert again["floor", (16, 32)] != values["floor", (16, 32)]
    key = by_size.trials[0].cells[1].measure.key
    seen = load_observations(store.folder("measure", key) / "observations.npz")
    expected = fd.distance(fd.fit(seen.views["whole"].features_ND), wide)
    assert again["measure", (16, 32)] == pytest.approx(expected, rel=1e-9)


def test_the_content_of_the_file_decides_and_not_its_name(tmp_path: Path) -> None:
    statistics(tmp_path / "all.npz", 0)
    one = planned(tmp_path)
    (tmp_path / "other.npz").write_bytes((tmp_path / "all.npz").read_bytes())
    other = planned(tmp_path, TEXT.replace("all.npz", "other.npz"))
    assert (one.run, one.trials[0].cells[0].measure.key) == (other.run, other.trials[0].cells[0].measure.key)
    statistics(tmp_path / "other.npz", 2)
    changed = planned(tmp_path, TEXT.replace("all.npz", "other.npz"))
    assert changed.run != one.run
    assert changed.trials[0].cells[0].measure.key != one.trials[0].cells[0].measure.key
    without = planned(tmp_path, TEXT.replace("  reference: {statistics: all.npz}\n", ""))
    assert without.trials[0].cells[0].measure.reference.key == one.trials[0].cells[0].measure.reference.key  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("all.npz", "none.npz", "none.npz does not exist; give an .npz with mu and sigma"),
        ("all.npz", "images.npz", "images.npz holds arr_0 and lacks mu and sigma; give an .npz"),
        ("all.npz", "narrow.npz", "are float64 (8,) and (8, 8); expected a mean of 12 features"),
        ("all.npz", "text.npz", "the statistics of"),
        ("all.npz", "{'16': all.npz}", "statistics has no file for 16x32; add '16x32': FILE"),
        ("all.npz", "{16 px: all.npz}", "a resolution is written 48 or HEIGHTxWIDTH"),
        ("all.npz", "{}", "statistics"),
        ("inception-adm", "efficientnet-lite0", "'fid_adm' means the net 'inception-adm'"),
        ("[fid_adm, kid]", "[kid]", "serve fid_adm alone"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    statistics(tmp_path / "all.npz", 0)
    statistics(tmp_path / "narrow.npz", 0, 8)
    np.savez(tmp_path / "images.npz", arr_0=np.zeros((2, 4, 4, 3), np.uint8))
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(UserError) as refused:
        planned(tmp_path, TEXT.replace(old, new).replace("main_metric: fid_adm", "main_metric: kid"))
    assert complaint in str(refused.value)
    assert "tiny.yaml:" in str(refused.value)
    assert "\n" not in str(refused.value)
