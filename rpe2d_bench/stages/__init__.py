"""Train, sample, observe and measure as content-addressed steps: the same question is never computed twice.

A stage is a frozen description; its key is a hash of what matters to its result and nothing else: resources, paths
and names never enter it. `make` returns the folder of the finished stage, working it out only where it is missing.
"""

from rpe2d_bench.stages.measure import MeasureStage, read_result
from rpe2d_bench.stages.reference import ReferenceStage
from rpe2d_bench.stages.sample import SampleStage
from rpe2d_bench.stages.train import TrainStage

__all__ = ["MeasureStage", "ReferenceStage", "SampleStage", "TrainStage", "read_result"]
