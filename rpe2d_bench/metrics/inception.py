"""The Inception net of the standard FID, where its weights are given: then, and only then, FD is called FID.

The weights are the TorchScript file `inception-2015-12-05.pt` that clean-fid and StyleGAN's metrics use; its
features at 299 pixels are 2048 pool activations, its logits 1008 TensorFlow classes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.torchvision_import import import_torchvision

FILE = "inception-2015-12-05.pt"


class Inception:
    """The feature net `inception`, through clean-fid's wrapper (resizing is done before, by the one resizer)."""

    name = "inception"
    input_size: tuple[int, int] | None = (299, 299)
    channels = 3
    num_features = 2048

    def __init__(self, weights: Path) -> None:
        path = weights / FILE if weights.is_dir() else weights
        if path.name != FILE:
            raise UserError(f"{weights}: the weights of 'inception' are the file {FILE}; give its path or its folder")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the path of {FILE}") from error
        self.version = hashlib.sha256(content).hexdigest()[:12]
        import_torchvision()
        from cleanfid.inception_torchscript import InceptionV3W

        try:
            self._module: Any = InceptionV3W(str(path.parent), download=False)
        except RuntimeError as error:
            raise UserError(f"{path} is not the TorchScript Inception net; fetch {FILE} again") from error

    def features_and_logits(self, pictures_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """float32 grey levels 0..255 [N, 3, 299, 299] -> features [N, 2048]; the wrapper gives no logits."""
        self._module.to(pictures_NCHW.device)
        with torch.inference_mode():
            return self._module(pictures_NCHW), None
