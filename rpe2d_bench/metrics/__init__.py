"""Metrics: images -> features -> distance, one file per metric, with the net's name in every value's name."""

from rpe2d_bench.metrics.nets.table import FEATURE_NETS, load_net, net_version
from rpe2d_bench.metrics.observations import Observations, concatenate, load_observations
from rpe2d_bench.metrics.score import Measurement, measure, observe, score
from rpe2d_bench.metrics.table import METRICS, Asked, Metric, split, validate, value_name

__all__ = [
    "FEATURE_NETS",
    "METRICS",
    "Asked",
    "Measurement",
    "Metric",
    "Observations",
    "concatenate",
    "load_net",
    "load_observations",
    "measure",
    "net_version",
    "observe",
    "score",
    "split",
    "validate",
    "value_name",
]
