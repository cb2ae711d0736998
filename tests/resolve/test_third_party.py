"""A stranger's package adds a sampler, an autoencoder and a data set: listed, planned and run, our code untouched."""

import json
from pathlib import Path

import pytest
from helpers.installed import bench, install

from rpe2d_bench.storage.records import read

PACKAGE = Path(__file__).parents[1] / "third_party_parts"
EXPERIMENT = """
schema_version: 1
name: stranger
seeds: [0]
data: {name: stripes, period: 4}
autoencoder: {kind: unshuffled, side: 2}
model: {preset: DiT-Nano/2}
train: {steps: 2, batch_size: 2, num_images: 8, precision: float32}
models:
  rope: {encoding: {kind: axial_rope, theta: 100}}
methods:
  extrapolation: {model: rope}
resolutions: [{train: 16, test: [24]}]
evaluate:
  sampler: {kind: midpoint, steps: 3, guidance: 1.0, precision: float32}
  num_samples: 8
  metrics: [fd]
report: {main_metric: fd, reference_method: extrapolation}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(PACKAGE, tmp_path_factory.mktemp("site"))


def test_an_experiment_of_a_strangers_parts_is_planned_and_run(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "stranger.yaml").write_text(EXPERIMENT)
    planned = bench(installed, tmp_path, "plan", "stranger.yaml", "--json")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    cost = json.loads(planned.stdout)["cost_of_the_rest"]
    # Decoding of 8 samples and 2 x 8 real images, 3 FLOPs a pixel as the package says; encoding costs nothing.
    assert cost["coding_flops"] == 3.0 * 24 * 24 * (8 + 8)
    ran = bench(installed, tmp_path, "run", "stranger.yaml", "--engine", "local", "--no-mlflow")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    records = read(tmp_path / "runs")
    assert {record.status for record in records} == {"ok"}
    assert {record.stage for record in records} == {
        "train",
        "measure",
        "floor",
        "enlarged",
        "noise",
        "reconstruction",
    }
    through = next(record for record in records if record.stage == "reconstruction")
    assert through.measurement is not None
    assert through.measurement.psnr is not None
    assert through.measurement.psnr > 50  # lossless but for float16


def test_mistakes_in_a_strangers_options_have_their_line(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "stranger.yaml").write_text(EXPERIMENT.replace("side: 2", "side: 0"))
    refused = bench(installed, tmp_path, "validate", "stranger.yaml")
    assert refused.returncode == 2
    assert "stranger.yaml:6: autoencoder.side must be at least 1, not 0" in " ".join(refused.stderr.split())


def test_a_broken_package_is_named_and_blocks_nothing_else(tmp_path: Path) -> None:
    site = install(PACKAGE, tmp_path / "site")
    (site / "third_party_parts.py").write_text("raise RuntimeError('half installed')")
    (tmp_path / "stranger.yaml").write_text(EXPERIMENT)
    refused = bench(site, tmp_path, "validate", "stranger.yaml")
    assert refused.returncode == 2
    printed = " ".join(refused.stderr.split())
    assert "unknown data set 'stripes'" in printed
    assert "half installed" in printed
    ours = EXPERIMENT.replace("{name: stripes, period: 4}", "{name: glyphs, channels: 1}")
    ours = ours.replace("autoencoder: {kind: unshuffled, side: 2}\n", "").replace("midpoint", "heun")
    (tmp_path / "ours.yaml").write_text(ours)
    valid = bench(site, tmp_path, "validate", "ours.yaml")
    assert valid.returncode == 0, valid.stdout + valid.stderr
    assert valid.stderr.count("half installed") == 2  # once a group that this file looks into: data sets, samplers
    assert "Traceback" not in valid.stderr
