"""Resize, then refine: the enlarged image is where denoising begins, and what did not refine keeps its address."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.planned import planned
from helpers.tiny_experiment import TINY

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.diffusion import times
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.resize import padded, resize
from rpe2d_bench.runner.work import in_order, make_stages
from rpe2d_bench.sampling.loop import noise
from rpe2d_bench.stages import MeasureStage, SampleStage
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.store import Store

METHODS = """  extrapolation: {model: rope}
  upscaled: {model: rope, upscale: true}
  refined: {model: rope, upscale: true, refine: 0.5}
  barely: {model: rope, upscale: true, refine: 0.001}
"""
TEXT = TINY.replace("  extrapolation: {model: rope}\n", METHODS)


def measures(path: Path, text: str = TEXT) -> dict[tuple[str, tuple[int, int]], MeasureStage]:
    path.write_text(text)
    plan = planned(path)
    return {(c.method, c.test_resolution): c.measure for trial in plan.trials for c in trial.cells}


def test_times_begin_where_refining_does_and_a_whole_run_keeps_its_bits() -> None:
    assert times(10, 1.0, 0.5) == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    assert times(4, 2.0, 1.0) == times(4, 2.0)
    assert times(10, 1.0, 0.001) == [0.001, 0.0]


def test_the_enlarged_image_is_renoised_on_the_models_path(tiny: Path) -> None:
    found = measures(tiny)
    refined, upscaled = found["refined", (24, 24)].generated, found["upscaled", (24, 24)].generated
    assert isinstance(refined, SampleStage)
    assert refined.start is not None
    assert refined.start.key == upscaled.key  # no second set of small images
    assert found["refined", (16, 16)].key == found["upscaled", (16, 16)].key  # nothing to enlarge at 1x
    grey = np.full((3, 1, 16, 16), 255, np.uint8)
    noise_BCYX = noise(0, np.arange(2), (1, 24, 24))
    x_BCYX = refined._renoised(grey)(np.array([0, 2]), noise_BCYX)
    torch.testing.assert_close(x_BCYX, 0.5 * torch.ones(2, 1, 24, 24) + 0.5 * noise_BCYX)


def test_refining_a_little_leaves_the_enlarged_image(tiny: Path, tmp_path: Path) -> None:
    found = measures(tiny)
    context = RunContext(Store(tmp_path / "runs"), Resources())
    made = {}
    for name in ("upscaled", "barely", "refined"):
        measure = found[name, (24, 24)]
        folder = measure.make(context)
        assert isinstance(measure.generated, SampleStage)
        if name != "upscaled":
            folder = context.store.folder("sample", measure.generated.key)
        made[name] = images_file.first(folder / images_file.NAME, 12).astype(float)
    assert np.abs(made["barely"] - made["upscaled"]).mean() < 1.5
    assert np.abs(made["refined"] - made["upscaled"]).mean() > 10


def test_what_is_padded_is_not_stretched_and_square_sizes_keep_their_address(tiny: Path) -> None:
    image = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4) * 10
    wide = padded(image, (4, 8))[0, 0].numpy()
    assert np.array_equal(wide[:, 2:6], image[0, 0])
    assert np.array_equal(wide[:, :2], np.repeat(image[0, 0][:, :1], 2, 1))
    assert np.array_equal(wide[:, 6:], np.repeat(image[0, 0][:, 3:], 2, 1))
    assert padded(image, (9, 4)).shape == (1, 1, 9, 4)
    assert torch.equal(padded(image, (8, 8)), resize(image, (8, 8)))
    stretched, found = measures(tiny), measures(tiny, TEXT.replace("upscale: true", "upscale: padded"))
    for method in ("upscaled", "refined"):
        assert found[method, (24, 24)].key == stretched[method, (24, 24)].key
        assert found[method, (16, 32)].key != stretched[method, (16, 32)].key
    assert found["upscaled", (16, 32)].generated.key == stretched["upscaled", (16, 32)].generated.key


def test_workers_make_the_small_images_once_and_before_what_refines_them(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write_text(TEXT.replace("  upscaled: {model: rope, upscale: true}\n", ""))
    plan = planned(tiny)
    root = tmp_path / "runs"
    order = list(in_order(plan, Store(root))[0])
    refined = [c.measure.generated for t in plan.trials for c in t.cells if c.test_resolution == (24, 24)]
    starts = [s for s in refined if isinstance(s, SampleStage) and s.start is not None]
    assert starts
    assert all(s.start and order.index(s.start.key) < order.index(s.key) for s in starts)
    made: list[str] = []
    sampled = SampleStage._work

    def counted(stage: SampleStage, *arguments: Any) -> None:
        made.append(stage.key)
        sampled(stage, *arguments)

    monkeypatch.setattr(SampleStage, "_work", counted)

    def work() -> None:
        make_stages(plan, RunContext(Store(root, wait=False), plan.experiment.resources, say=lambda _: None))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(made) == sorted({key for key in order if (root / "stages" / "sample" / key).exists()})
    assert not in_order(plan, Store(root))[0]


def test_refining_is_refused_where_nothing_is_enlarged(tiny: Path) -> None:
    with pytest.raises(UserError, match="refine works on enlarged images; write upscale: true"):
        measures(tiny, TEXT.replace("upscale: true, refine: 0.5", "refine: 0.5"))
    with pytest.raises(UserError, match="refine"):
        measures(tiny, TEXT.replace("refine: 0.5", "refine: 1.5"))
