"""The methods RPE-2D is compared with, one file each; the tables below are all there is to register."""

from baselines.alibi import ALiBi
from baselines.anchored import AnchoredPositions
from baselines.bundled import BundledPositions
from baselines.crop_true import CropTruePositions
from baselines.distance import DistanceOnly
from baselines.dominant import Dominant
from baselines.dype import DyPEInterpolated, DyPENTK
from baselines.dype_yarn import DyPEYaRN, DyPEYaRN2025
from baselines.fit_code import FiTCode
from baselines.fractional import FractionalPositions
from baselines.golden_gate import GoldenGateRoPE
from baselines.interpolated import Interpolated
from baselines.interpolated_early import InterpolatedEarly
from baselines.lookhere import LookHere
from baselines.mixed_rope import MixedRoPE
from baselines.ntk import NTK
from baselines.ntk_by_parts import NTKByParts
from baselines.ntk_lumina import NTKLumina
from baselines.partial_rope import PartialRoPE
from baselines.proportional import ProportionalLog, ProportionalSqrt
from baselines.random_stride import RandomStride
from baselines.randomized_yarn import RandomizedYaRN
from baselines.relative_buckets import RelativeBuckets
from baselines.relative_table import RelativeTable
from baselines.riflex import RIFLEx
from baselines.scale_invariant import ScaleInvariant
from baselines.shift_scale_jitter import ShiftScaleJitter
from baselines.spiral import SpiralRoPE
from baselines.time_aware import TimeAware
from baselines.ultraflux import Resonance
from baselines.yarn import YaRN, YaRNLogitScale
from baselines.yarn_turns import YaRNTurns

POSITIONS: dict[str, type] = {
    "fractional": FractionalPositions,
    "shift_scale_jitter": ShiftScaleJitter,
    "crop_true": CropTruePositions,
    "random_stride": RandomStride,
    "anchored": AnchoredPositions,
    "bundled": BundledPositions,
}

FREQUENCIES: dict[str, type] = {
    "interpolated": Interpolated,
    "interpolated_early": InterpolatedEarly,
    "ntk": NTK,
    "ntk_lumina": NTKLumina,
    "ntk_by_parts": NTKByParts,
    "yarn": YaRN,
    "yarn_turns": YaRNTurns,
    "time_aware": TimeAware,
    "dype_interpolated": DyPEInterpolated,
    "dype_ntk": DyPENTK,
    "dype_yarn": DyPEYaRN,
    "dype_yarn_2025": DyPEYaRN2025,
    "riflex": RIFLEx,
    "dominant": Dominant,
    "resonance": Resonance,
}

LOGIT_SCALES: dict[str, type] = {
    "yarn": YaRNLogitScale,
    "proportional_sqrt": ProportionalSqrt,
    "proportional_log": ProportionalLog,
    "fit_code": FiTCode,
}

LOGIT_BIASES: dict[str, type] = {
    "alibi": ALiBi,
    "lookhere": LookHere,
    "relative_table": RelativeTable,
    "relative_buckets": RelativeBuckets,
    "scale_invariant": ScaleInvariant,
}

ENCODINGS: dict[str, type] = {
    "distance": DistanceOnly,
    "golden_gate": GoldenGateRoPE,
    "mixed_rope": MixedRoPE,
    "partial_rope": PartialRoPE,
    "randomized_yarn": RandomizedYaRN,
    "spiral": SpiralRoPE,
}
