"""The Inception net of the standard FID, where its weights are given: then, and only then, FD is called FID.

Two files hold these weights: the TorchScript net `inception-2015-12-05.pt` that clean-fid and StyleGAN's metrics use,
and the state of pytorch-fid and torch-fidelity, `...inception-2015-12-05-6726825d.pth` (also as .safetensors). At 299
pixels the net has 2048 pool activations (FID), 7 x 17 x 17 spatial ones (sFID) and 1008 TensorFlow classes (Inception
score). Which values are read is that of openai/guided-diffusion@22e0df8, evaluations/evaluator.py: `pool_3:0`, the
first seven channels of `mixed_6/conv:0`, and logits without their bias.

Shape suffixes: N images, C channels, H W pixels, D = 2048 features, S = 2023 spatial features, K = 1008 classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.inputs import INPUTS
from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision
from rpe2d_bench.metrics.nets.weights_file import digest, read_state

FILE = "inception-2015-12-05.pt"
SPLIT, FIRST_BRANCH = "mixed_6", "conv"  # TensorFlow's names, which the TorchScript net kept
SPATIAL_CHANNELS, SPATIAL_SIDE, FEATURES, CLASSES = 7, 17, 2048, 1008


@dataclass(frozen=True)
class Layers:
    """The net in two halves, parted at the block whose first branch sFID looks at."""

    before: tuple[nn.Module, ...]
    block: nn.Module
    first_branch: nn.Module
    after: tuple[nn.Module, ...]
    classes_KD: Tensor  # weights of the last layer

    def middle(self, x_NCHW: Tensor) -> Tensor:
        """Input of the block from images in [-1, 1]."""
        for layer in self.before:
            x_NCHW = layer(x_NCHW)
        return x_NCHW

    def pooled(self, x_NCHW: Tensor) -> Tensor:
        """Pool activations [N, D]."""
        x_NCHW = self.block(self.middle(x_NCHW))
        for layer in self.after:
            x_NCHW = layer(x_NCHW)
        return x_NCHW.flatten(1)

    def spatial(self, x_NCHW: Tensor) -> Tensor:
        """[N, S], place by place of the first seven channels."""
        features_ND: Tensor = self.first_branch(self.middle(x_NCHW))[:, :SPATIAL_CHANNELS].flatten(1)
        return features_ND

    def to(self, device: torch.device) -> Layers:
        """Moves in place, as modules do; the last layer's weights anew."""
        for module in (*self.before, self.block, *self.after):
            module.to(device)
        return Layers(self.before, self.block, self.first_branch, self.after, self.classes_KD.to(device))


class Inception:
    """The feature net `inception` (resizing is done before, by the one resizer)."""

    name = "inception"
    input_size: tuple[int, int] | None = INPUTS["inception"]
    channels = 3
    num_features = FEATURES

    def __init__(self, weights: Path) -> None:
        self.version = digest(weights)
        import_torchvision()
        script = weights.suffix == ".pt"
        self._layers = _from_torchscript(weights) if script else _from_state(weights, read_state(weights))
        self.spatial = InceptionSpatial(self)

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """float32 grey levels 0..255 [N, 3, 299, 299] -> features [N, D] and logits without bias [N, K]."""
        layers = self.on(images_NCHW.device)
        with torch.inference_mode():
            features_ND = layers.pooled(_scaled(images_NCHW))
            return features_ND, features_ND @ layers.classes_KD.T

    def on(self, device: torch.device) -> Layers:
        """The layers, moved to a device."""
        if self._layers.classes_KD.device != device:
            self._layers = self._layers.to(device)
        return self._layers


class InceptionSpatial:
    """The same net seen where places in the image still count: what sFID (Nash et al. 2021) takes."""

    name = "inception-spatial"
    num_features = SPATIAL_CHANNELS * SPATIAL_SIDE**2

    def __init__(self, net: Inception) -> None:
        self._net = net
        self.version, self.input_size, self.channels = net.version, net.input_size, net.channels

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """float32 grey levels 0..255 [N, 3, 299, 299] -> features [N, S]."""
        with torch.inference_mode():
            return self._net.on(images_NCHW.device).spatial(_scaled(images_NCHW)), None


def _scaled(images_NCHW: Tensor) -> Tensor:
    return (images_NCHW - 128) / 128


def _from_torchscript(path: Path) -> Layers:
    """Through clean-fid's wrapper."""
    from cleanfid.inception_torchscript import InceptionV3W

    if path.name != FILE:
        raise UserError(f"{path}: the TorchScript weights of 'inception' are the file {FILE}; give its path")
    try:
        module: Any = InceptionV3W(str(path.parent), download=False)
    except RuntimeError as error:
        raise UserError(f"{path} is not the TorchScript Inception net; fetch {FILE} again") from error
    last = [value for value in module.base.state_dict().values() if value.shape == (CLASSES, FEATURES)]
    children = dict(module.layers.named_children())
    if SPLIT not in children or len(last) != 1:
        raise UserError(f"{path} is not the TorchScript Inception net (no layer {SPLIT!r}); fetch {FILE} again")
    layers, at = tuple(children.values()), list(children).index(SPLIT)
    return Layers(layers[:at], layers[at], getattr(layers[at], FIRST_BRANCH), layers[at + 1 :], last[0])


def _from_state(path: Path, state: Mapping[str, Tensor]) -> Layers:
    """torchvision's Inception v3 with clean-fid's blocks of the FID variant in place of its own."""
    from cleanfid import inception_pytorch as blocks
    from torchvision.models import inception_v3

    net: Any = inception_v3(num_classes=CLASSES, aux_logits=False, weights=None, init_weights=False)
    for name, width in (("Mixed_5b", 192), ("Mixed_5c", 256), ("Mixed_5d", 288)):
        setattr(net, name, blocks.FIDInceptionA(width, pool_features=32 if width == 192 else 64))
    for name, channels in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        setattr(net, name, blocks.FIDInceptionC(768, channels_7x7=channels))
    net.Mixed_7b, net.Mixed_7c = blocks.FIDInceptionE_1(1280), blocks.FIDInceptionE_2(2048)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        why = " ".join(str(error).split())[:120]
        raise UserError(f"{path} does not hold the weights of the FID Inception net ({why})") from error
    net.eval().requires_grad_(False)
    names = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3",
             "maxpool2", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d",
             "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c", "avgpool")  # fmt: skip
    layers = tuple(getattr(net, name) for name in names)
    at = names.index("Mixed_6d")  # TensorFlow's mixed_6
    return Layers(layers[:at], layers[at], layers[at].branch1x1, layers[at + 1 :], net.fc.weight)
