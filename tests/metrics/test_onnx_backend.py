import numpy as np
import pytest
import torch

from rpe2d_bench.metrics.nets import onnx
from rpe2d_bench.metrics.nets.efficientnet import EfficientNetLite0
from rpe2d_bench.metrics.nets.features import extract
from rpe2d_bench.metrics.nets.onnx import OnnxNet, accelerated

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("efficientnet_lite_pytorch")


def test_features_are_the_eager_nets_at_every_batch_size(make_images) -> None:
    net = EfficientNetLite0()
    fast = accelerated(net, net.module)
    assert isinstance(fast, OnnxNet)
    images = make_images(5, 0, (64, 48), 3)
    eager = extract(images, net)
    for batch_size in (1, 3, 5):
        found = extract(images, fast, batch_size=batch_size)
        np.testing.assert_allclose(found.features_ND, eager.features_ND, atol=1e-4 * np.abs(eager.features_ND).max())
        np.testing.assert_allclose(found.logits_NK, eager.logits_NK, atol=1e-4 * np.abs(eager.logits_NK).max())
    assert (found.net, found.net_version, found.resize) == (eager.net, eager.net_version, eager.resize)


def test_a_net_is_exported_when_it_first_sees_images_and_not_before(
    make_images, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[object] = []

    def counted(net: object, module: object) -> object:
        exported.append(net)
        return net

    monkeypatch.setattr(onnx, "accelerated", counted)
    eager = EfficientNetLite0()
    net = onnx.AcceleratedOnUse(eager, eager.module)
    assert (net.version, net.input_size, exported) == (eager.version, eager.input_size, [])
    for _ in range(2):
        extract(make_images(2, 0, (64, 48), 3), net)
    assert exported == [eager]


def test_a_backend_that_disagrees_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    net = EfficientNetLite0()
    wrong = (torch.zeros(2, 1280), torch.ones(2, 1000))
    monkeypatch.setattr(OnnxNet, "features_and_logits", lambda self, images: wrong)
    assert accelerated(net, net.module) is net
    assert "using the slower eager net" in caplog.text


def test_without_onnxruntime_the_net_itself_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    net = EfficientNetLite0()
    assert accelerated(net, net.module) is net
