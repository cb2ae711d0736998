"""Train, sample, observe, measure and denoise as content-addressed steps: the same question is never computed twice.

A stage is a frozen description; its key is a hash of what matters to its result and nothing else: resources, paths
and names never enter it. `make` returns the folder of the finished stage, working it out only where it is missing.
"""

from rpe2d_bench.stages.denoise import DenoiseStage
from rpe2d_bench.stages.measure import MeasureStage, read_result
from rpe2d_bench.stages.reference import ReferenceStage
from rpe2d_bench.stages.sample import SampleStage
from rpe2d_bench.stages.train import TrainStage

Evaluation = MeasureStage | DenoiseStage  # what gives a cell of a table its numbers

__all__ = ["DenoiseStage", "Evaluation", "MeasureStage", "ReferenceStage", "SampleStage", "TrainStage", "read_result"]
