"""The search that the tiny experiment gets, and one with a planted optimum."""

from helpers.tiny_experiment import TINY

SEARCH = """\
search:
  trials: 6
  num_samples: 12
  resolutions: [16, 24]
  models:
    "*": {train.lr: {low: 1.0e-4, high: 1.0e-1, log: true}}
    rpe2d: {encoding.positions.draw: [integer, real]}
  methods:
    ntk: {sampler.shift: {low: 1, high: 3}, frequencies.scale_from: [axis, larger]}
"""

# At a rate of 1e-9 nothing is learnt: the images stay noise. It is what the file writes, and one of three choices.
PLANTED = (
    TINY.replace("warmup: 2}", "warmup: 2, lr: 1.0e-9, ema: 0.8}")
    + """\
search:
  trials: 3
  num_samples: 12
  resolutions: [16, 24]
  models:
    "*": {train.lr: [1.0e-9, 1.0e-8, 1.0e-2]}
  methods:
    ntk: {sampler.steps: [1, 2, 3]}
"""
)
