"""A small folder of pictures goes all the way: fewer validation pictures than the validation loss would like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from rpe2d_bench import loading
from rpe2d_bench.plan import make_plan
from rpe2d_bench.runner import run
from rpe2d_bench.store import Store

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
        folder = tmp_path / "pictures" / "01"[number % 2]  # classes that glyphnet knows
        folder.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    (tmp_path / "folder.yaml").write_text(EXPERIMENT.format(path=tmp_path / "pictures"))
    found = run(make_plan(loading.load(tmp_path / "folder.yaml")), Store(tmp_path / "runs"), engine="local")
    assert [record.error for record in found if record.status == "failed"] == []
    assert {record.stage for record in found} == {"train", "measure", "floor"}
