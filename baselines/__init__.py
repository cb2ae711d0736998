"""The methods RPE-2D is compared with, one file each; the tables below are all there is to register."""

from baselines.interpolated import Interpolated
from baselines.mixed_rope import MixedRoPE
from baselines.ntk import NTK
from baselines.yarn import YaRN, YaRNLogitScale

POSITIONS: dict[str, type] = {}

FREQUENCIES: dict[str, type] = {
    "interpolated": Interpolated,
    "ntk": NTK,
    "yarn": YaRN,
}

LOGIT_SCALES: dict[str, type] = {
    "yarn": YaRNLogitScale,
}

ENCODINGS: dict[str, type] = {
    "mixed_rope": MixedRoPE,
}
