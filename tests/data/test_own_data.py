"""A small folder of images goes all the way: fewer validation images than the validation loss would like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers.planned import planned
from PIL import Image

from rpe2d_bench.runner import run
from rpe2d_bench.stages import read_result
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.store import Store

EXPERIMENT = """\
schema_version: 1
name: folder
data: {{name: image_folder, path: {path}, test_share: 0.5}}
model: {{preset: DiT-Nano/8}}
train: {{steps: 2, batch_size: 4}}
models: {{rope: {{encoding: {{kind: axial_rope}}}}}}
methods: {{extrapolation: {{model: rope}}}}
resolutions: [{{train: 16, test: [16, 24]}}]
evaluate: {{sampler: {{steps: 1}}, num_samples: 8, metrics: [kid], judge: null}}
report: {{main_metric: kid}}
"""


def test_a_small_folder_is_trained_and_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        folder = tmp_path / "images" / "01"[number % 2]  # classes that glyphnet knows
        folder.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    (tmp_path / "folder.yaml").write_text(EXPERIMENT.format(path=tmp_path / "images"))
    plan = planned(tmp_path / "folder.yaml")
    found = run(plan, Store(tmp_path / "runs"), engine="local")
    assert [record.error for record in found if record.status == "failed"] == []
    assert {record.stage for record in found} == {"train", "measure", "floor", "enlarged", "noise"}
    assert plan.labels == "as often as in the reference, 4 of a class"


def test_what_was_converted_is_stated_and_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(60):
        folder = tmp_path / "images" / "01"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 40), (number, 0, 0)).save(folder / f"{number}.png", exif=exif)
    (tmp_path / "folder.yaml").write_text(EXPERIMENT.format(path=tmp_path / "images"))
    reference = planned(tmp_path / "folder.yaml").floors[0].measure.reference
    output: list[str] = []
    made = reference.make(RunContext(Store(tmp_path / "runs"), say=output.append))
    words = "of the images read so far: 8 turned upright as EXIF says"
    assert output == [f"{tmp_path / 'images'}: {words}"]
    assert read_result(made)["converted"] == words
