"""What an experiment file names is read once: every `{kind: ...}` and `{name: ...}`, from text to plan."""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rpe2d_bench import autoencoders, data
from rpe2d_bench.cli.application import app
from rpe2d_bench.config import options
from rpe2d_bench.data import crops
from rpe2d_bench.encodings import spec

EXPERIMENT = """
schema_version: 1
name: once
seeds: [0, 1]
data: {name: glyphs, channels: 1}
model: {preset: DiT-Nano/4}
train: {steps: 8, batch_size: 8, num_images: 64, precision: float32}
models:
  rope: {encoding: {kind: axial_rope, frequencies: {kind: geometric, theta: 100}}}
  rpe2d:
    encoding: {kind: axial_rope, theta: 50, positions: {kind: random, max_grid: [8, 8]}}
    crops: {kind: resize_and_crop, max_zoom: 1.5}
    init: {model: rope}
methods:
  ntk: {model: rope, frequencies: {kind: ntk}}
  yarn: {model: rope, frequencies: {kind: yarn}, logit_scale: {kind: yarn, factor: 0.2}}
  rpe2d: {model: rpe2d, positions: {kind: grid}}
resolutions:
  - {train: 16, test: [16, 24]}
  - {train: 24, test: [32]}
evaluate:
  sampler: {kind: heun, steps: 2, precision: float32}
  guidance: [1.0, 2.0]
  num_samples: 8
  metrics: [fd]
report: {main_metric: fd, reference_method: ntk}
"""
MAPPINGS = {
    "data", "encoding", "encoding.frequencies", "encoding.positions", "crops", "method.frequencies",
    "method.logit_scale", "method.positions",
}  # fmt: skip


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Every mapping that the parser was given, with its place."""
    counts: Counter[str] = Counter()
    parser, readers = options.named, (data, crops, autoencoders, spec)

    def counted(table: Mapping[str, Any], written: Mapping[str, Any], place: str, key: str = "kind") -> Any:
        counts[f"{place} {dict(written)}"] += 1
        return parser(table, written, place, key)

    modules = [module for name, module in sys.modules.items() if name.startswith("rpe2d_bench.")]
    found = [module for module in modules if getattr(module, "named", None) is parser]
    assert set(found) >= set(readers)  # imported by now, so that none keeps a name of its own
    for module in found:
        monkeypatch.setattr(module, "named", counted)
    return counts


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_every_mapping_of_a_file_is_read_once(command: str, tmp_path: Path, read: Counter[str]) -> None:
    file = tmp_path / "once.yaml"
    file.write_text(EXPERIMENT)
    store = ["--store", str(tmp_path / "runs")] if command == "plan" else []
    result = CliRunner().invoke(app, [command, str(file), *store])
    assert result.exit_code == 0, result.output
    assert {text.partition(" ")[0] for text in read} == MAPPINGS
    crops_left_out = "crops {'kind': 'none'}"  # the default, which no file writes
    assert {text: count for text, count in read.items() if count > 1 and text != crops_left_out} == {}
    assert sum("encoding " in text for text in read) == 2
    assert sum("frequencies " in text for text in read) == 3
