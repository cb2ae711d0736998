"""The methods RPE-2D is compared with, one file each; the tables below are all there is to register."""

from baselines.anchored import AnchoredPositions
from baselines.crop_true import CropTruePositions
from baselines.dominant import Dominant
from baselines.dype import DyPEInterpolated, DyPENTK
from baselines.dype_yarn import DyPEYaRN, DyPEYaRN2025
from baselines.fit_code import FiTCode
from baselines.fractional import FractionalPositions
from baselines.interpolated import Interpolated
from baselines.mixed_rope import MixedRoPE
from baselines.ntk import NTK
from baselines.ntk_by_parts import NTKByParts
from baselines.ntk_lumina import NTKLumina
from baselines.proportional import ProportionalLog, ProportionalSqrt
from baselines.random_stride import RandomStride
from baselines.riflex import RIFLEx
from baselines.shift_scale_jitter import ShiftScaleJitter
from baselines.time_aware import TimeAware
from baselines.yarn import YaRN, YaRNLogitScale
from baselines.yarn_turns import YaRNTurns

POSITIONS: dict[str, type] = {
    "fractional": FractionalPositions,
    "shift_scale_jitter": ShiftScaleJitter,
    "crop_true": CropTruePositions,
    "random_stride": RandomStride,
    "anchored": AnchoredPositions,
}

FREQUENCIES: dict[str, type] = {
    "interpolated": Interpolated,
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
}

LOGIT_SCALES: dict[str, type] = {
    "yarn": YaRNLogitScale,
    "proportional_sqrt": ProportionalSqrt,
    "proportional_log": ProportionalLog,
    "fit_code": FiTCode,
}

ENCODINGS: dict[str, type] = {
    "mixed_rope": MixedRoPE,
}
