"""Metrics: images -> features -> distance, one file per metric, with the net's name in every value's name.

Names are imported when they are used, so that what metrics mean can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpe2d_bench.metrics.metric import Inputs, Metric
    from rpe2d_bench.metrics.nets.table import FEATURE_NETS, load_net, net_version
    from rpe2d_bench.metrics.observations import Observations, concatenate, load_observations
    from rpe2d_bench.metrics.scoring import Measurement, observe, score
    from rpe2d_bench.metrics.table import METRICS, Asked, split, split_value_name, validate, value_name

__all__ = [
    "FEATURE_NETS",
    "METRICS",
    "Asked",
    "Inputs",
    "Measurement",
    "Metric",
    "Observations",
    "concatenate",
    "load_net",
    "load_observations",
    "net_version",
    "observe",
    "score",
    "split",
    "split_value_name",
    "validate",
    "value_name",
]
_HOMES = {
    "metric": ("Inputs", "Metric"),
    "nets.table": ("FEATURE_NETS", "load_net", "net_version"),
    "observations": ("Observations", "concatenate", "load_observations"),
    "scoring": ("Measurement", "observe", "score"),
    "table": ("METRICS", "Asked", "split", "split_value_name", "validate", "value_name"),
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
