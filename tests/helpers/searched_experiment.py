"""The search that the tiny experiment gets."""

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
