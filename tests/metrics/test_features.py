import numpy as np
import pytest
import torch

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.nets.efficientnet import EfficientNetLite0
from rpe2d_bench.metrics.nets.features import check_images, extract
from rpe2d_bench.metrics.nets.table import FEATURE_NETS, load_net


def test_batch_size_does_not_matter(net, make_images) -> None:
    given = make_images(23, 0, (16, 24))
    whole, parts = extract(given, net, batch_size=64), extract(given, net, batch_size=5)
    np.testing.assert_allclose(whole.features_ND, parts.features_ND, rtol=1e-5, atol=1e-5)
    assert whole.features_ND.shape == (23, net.num_features)
    assert whole.resize == parts.resize == "16x24 -> 8x8, clean-fid clean (PIL bicubic, antialiased, float)"


def test_progress_counts_every_image(net, make_images) -> None:
    seen: list[int] = []
    extract(make_images(10, 0), net, batch_size=4, progress=seen.append)
    assert seen == [4, 8, 10]


def test_grey_from_rgb_is_luma_and_is_stated(net, make_images) -> None:
    grey = make_images(6, 0)
    features = extract(np.repeat(grey, 3, axis=1), net)
    np.testing.assert_allclose(features.features_ND, extract(grey, net).features_ND, rtol=1e-4, atol=1e-4)
    assert features.resize.endswith("; RGB to grey by BT.601 luma")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 1, 8, 8), np.float32), "are float32; metrics take uint8"),
        (np.zeros((4, 8, 8), np.uint8), "expected \\[N, C, H, W\\]"),
        (np.zeros((4, 8, 8, 3), np.uint8), "expected \\[N, C, H, W\\]"),
        (np.zeros((4, 4, 8, 8), np.uint8), "1 or 3 channels"),
        (np.zeros((0, 1, 8, 8), np.uint8), "no images"),
    ],
)
def test_what_is_not_a_set_of_images_is_stated(given: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_images(given)


def test_features_that_are_not_finite_name_the_image(net, make_images) -> None:
    net.matrix[0] = float("inf")
    given = np.maximum(make_images(5, 0), 1)
    with pytest.raises(UserError, match="features of random that are not finite, first image 0"):
        extract(given, net)


def test_unknown_nets_get_a_suggestion() -> None:
    with pytest.raises(UserError, match="did you mean 'glyphnet'"):
        load_net("glyfnet")
    assert set(FEATURE_NETS) >= {"glyphnet", "glyphjudge", "efficientnet-lite0"}


def test_efficientnet_is_the_packages_own_net(make_images) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    net = load_net("efficientnet-lite0")
    given = make_images(2, 0, (224, 224), 3)
    features = extract(given, net)
    assert features.features_ND.shape == (2, 1280)
    with torch.inference_mode():
        direct = EfficientNetLite0().module((torch.from_numpy(given).float() - 127) / 128)
    np.testing.assert_allclose(features.logits_NK, direct.numpy(), rtol=1e-4, atol=1e-4)


def test_efficientnet_absent_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    load_net.cache_clear()
    with pytest.raises(UserError, match="rpe2d-bench\\[photographs\\]"):
        load_net("efficientnet-lite0")


@pytest.mark.parametrize("name", ["glyphnet", "efficientnet-lite0"])
def test_a_net_goes_where_its_images_are(name: str) -> None:
    """On a device without memory, which stands for one that holds images and not yet weights."""
    if name == "glyphnet":
        from rpe2d_bench.metrics.nets import glyph

        net = glyph.load.__wrapped__(name) if hasattr(glyph.load, "__wrapped__") else glyph.load(name)
    else:
        efficientnet = pytest.importorskip("rpe2d_bench.metrics.nets.efficientnet")
        pytest.importorskip("efficientnet_lite_pytorch")
        net = efficientnet.EfficientNetLite0()
    images = torch.zeros(1, net.channels, *net.input_size, device="meta")
    features, _ = net.features_and_logits(images)
    assert features.device.type == "meta"
    assert features.shape == (1, net.num_features)
