"""A tiny experiment that trains in a second."""

import yaml

TINY = """\
schema_version: 1
name: tiny
seeds: [0]
data: {name: glyphs}
model: {preset: DiT-Nano/4}
train: {precision: float32, steps: 8, batch_size: 8, num_pictures: 64, warmup: 2}
models:
  rope: {encoding: {kind: axial_rope}}
  rpe2d:
    encoding: {kind: axial_rope, positions: {kind: random, max_grid: [8, 8]}}
    crops: {kind: resize_and_crop}
methods:
  extrapolation: {model: rope}
  ntk: {model: rope, frequencies: {kind: ntk}}
  rpe2d: {model: rpe2d}
resolutions:
  - {train: 16, test: [16, 24, [16, 32]]}
evaluate:
  sampler: {precision: float32, steps: 2}
  num_samples: 12
  metrics: [kid, accuracy]
resources: {trials_in_parallel: 2, checkpoint_every: 0.01}
report: {main_metric: kid, reference_method: ntk}
"""


CONFIG = {"experiment": yaml.safe_load(TINY)}  # of a record, where it does not matter
