"""The same features through ONNX Runtime, several times faster than eager torch on a CPU.

Used only where it is installed and where its features agree with the eager net's to `AGREEMENT`, which is checked on
random images whenever a net is exported: numbers do not depend on the backend beyond that.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rpe2d_bench.metrics.nets.features import FeatureNet

AGREEMENT = 1e-4  # of the largest feature
log = logging.getLogger(__name__)


class _Module(nn.Module):
    """A feature net as a module, which is what the exporter takes."""

    def __init__(self, net: FeatureNet, module: nn.Module) -> None:
        super().__init__()
        self.net, self.module = net, module  # the module is registered, so that its weights are exported

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.net.features_and_logits(images_NCHW)


class OnnxNet:
    """A feature net whose features come from ONNX Runtime on CPUs and from the eager net elsewhere."""

    def __init__(self, net: FeatureNet, session: Any) -> None:
        self.eager, self._session = net, session
        self.name, self.version, self.input_size = net.name, net.version, net.input_size
        self.channels, self.num_features = net.channels, net.num_features

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """As the eager net's."""
        if images_NCHW.device.type != "cpu":
            return self.eager.features_and_logits(images_NCHW)
        found = self._session.run(None, {"images": images_NCHW.contiguous().numpy()})
        features_ND, *logits = (torch.from_numpy(array) for array in found)
        return features_ND, logits[0] if logits else None


class AcceleratedOnUse:
    """A feature net that is exported when it first sees images: a plan asks for its version alone."""

    def __init__(self, net: FeatureNet, module: nn.Module) -> None:
        self._net, self._module = net, module
        self.name, self.version, self.input_size = net.name, net.version, net.input_size
        self.channels, self.num_features = net.channels, net.num_features

    @cached_property
    def _fastest(self) -> FeatureNet:
        return accelerated(self._net, self._module)

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """As the eager net's."""
        return self._fastest.features_and_logits(images_NCHW)


def accelerated(net: FeatureNet, module: nn.Module) -> FeatureNet:
    """The net through ONNX Runtime where that is installed and agrees, else the net itself."""
    try:
        import onnx  # noqa: F401 - torch's exporter needs it
        import onnxruntime
    except ImportError:
        return net
    assert net.input_size is not None
    probe = 255 * torch.rand(2, net.channels, *net.input_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = [part for part in net.features_and_logits(probe) if part is not None]
    names = ["features", "logits"][: len(expected)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="rpe2d-onnx-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        path = Path(folder) / "net.onnx"
        torch.onnx.export(
            _Module(net, module).eval(), (probe,), path, dynamo=False, opset_version=17, input_names=["images"],
            output_names=names, dynamic_axes={name: {0: "N"} for name in ["images", *names]},
        )  # fmt: skip
        session = onnxruntime.InferenceSession(path.read_bytes(), options, ["CPUExecutionProvider"])
    fast = OnnxNet(net, session)
    found = [part for part in fast.features_and_logits(probe) if part is not None]
    worst = max(
        float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in zip(found, expected, strict=True)
    )
    if not worst <= AGREEMENT:
        log.warning("%s: ONNX Runtime is off by %.1e; using the slower eager net", net.name, worst)
        return net
    return fast
