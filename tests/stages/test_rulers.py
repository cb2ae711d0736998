"""Rulers beside the floor: what a perfect model scores when its samples are enlarged, and what slight noise scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers.planned import planned

from rpe2d_bench import data
from rpe2d_bench.analysis.real_names import NAMES, RULERS
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import blind_spot, describe
from rpe2d_bench.metrics import load_net
from rpe2d_bench.metrics.nets.inputs import INPUTS
from rpe2d_bench.report.tables import value_table
from rpe2d_bench.runner import run
from rpe2d_bench.stages import ReferenceStage
from rpe2d_bench.stages.reference import resized, with_noise
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.store import Store


def test_rulers_are_real_images_that_were_enlarged_or_noised(tiny: Path, tmp_path: Path) -> None:
    overrides = ("seeds=[0, 1]", "evaluate.num_samples=60", "evaluate.metrics=[kid]", "train.steps=1")
    plan = planned(tiny, *overrides, only=["extrapolation"])
    rulers = [(floor.kind, floor.test_resolution, floor.seed) for floor in plan.floors if floor.kind in RULERS]
    larger, sizes = [(24, 24), (16, 32)], [(16, 16), (24, 24), (16, 32)]
    assert sorted(rulers) == sorted([*(("enlarged", s, 0) for s in larger), *(("noise", s, 0) for s in sizes)])
    store = Store(tmp_path / "runs")
    results = Results(run(plan, store, engine="local"))
    kid = describe("kid_glyphnet")
    for size in larger:
        floor, enlarged, noise = (
            results.real.floor((16, 16), size, kid),
            results.real.ruler("enlarged", (16, 16), size, kid),
            results.real.ruler("noise", (16, 16), size, kid),
        )
        assert floor
        assert enlarged
        assert noise
        assert (floor.n, enlarged.n, noise.n) == (2, 1, 1)
        assert enlarged.mean > max(0.05 * kid.factor, floor.mean)
        assert noise.mean > floor.mean
    assert results.real.ruler("enlarged", (16, 16), (16, 16), kid) == results.real.floor((16, 16), (16, 16), kid)
    table = value_table(results, kid, (16, 16))
    assert [row.label for row in table.rows if row.real][1:] == [NAMES[kind].row for kind in RULERS]
    stages = {f.kind: f.measure.generated for f in plan.floors if f.test_resolution == (16, 32) and f.seed == 0}
    seen = {}
    dataset = data.build(plan.experiment.data)
    for kind, stage in stages.items():
        assert isinstance(stage, ReferenceStage)
        seen[kind] = images_file.first(store.folder("reference", stage.key) / images_file.NAME, 5)
    first = np.arange(60, 65)
    small = dataset.images("test", first, (16, 16))
    assert np.array_equal(seen["enlarged"], resized(small, (16, 32)))
    assert np.array_equal(seen["floor"], dataset.images("test", first, (16, 32)))
    assert np.array_equal(seen["noise"], with_noise(seen["floor"], first))


def test_noise_has_the_deviation_that_the_table_names_and_belongs_to_the_image() -> None:
    grey = np.full((40, 3, 32, 32), 128, np.uint8)
    noisy = with_noise(grey, np.arange(40)).astype(float)
    assert abs(noisy.std() - 8) < 0.1
    assert abs(noisy.mean() - 128) < 0.1
    assert np.array_equal(with_noise(grey[:3], np.arange(7, 10)), with_noise(grey[:20], np.arange(20))[7:10])


def test_a_table_says_where_the_net_cannot_see_detail() -> None:
    sizes = [(48, 48), (64, 64), (64, 96), (128, 128)]
    sentence = blind_spot(describe("kid_glyphnet"), sizes)
    assert sentence is not None
    assert "at 64 px: at 64×96, 128 px" in sentence
    assert blind_spot(describe("kid_glyphnet"), sizes[:2]) is None
    assert blind_spot(describe("kid_local_glyphnet"), sizes) is None
    for net in ("glyphnet", "glyphjudge"):
        assert load_net(net).input_size == INPUTS[net]
