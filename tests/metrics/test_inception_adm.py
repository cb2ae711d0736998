"""FID as ADM's evaluator has it: its resize, and the statistics that its reference batches hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.measured import measure_paths
from torch import Tensor, nn

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import fd, validate, value_name
from rpe2d_bench.metrics.nets import table
from rpe2d_bench.metrics.nets.inception_adm import InceptionADM, tensorflow_bilinear


def test_the_resize_is_tensorflow_1s() -> None:
    """Output pixel i reads source position i x source / target: the values that tf.image.resize_bilinear gave."""
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    larger = tensorflow_bilinear(image, (4, 4))[0, 0]
    assert larger.tolist() == [[1, 1.5, 2, 2], [2, 2.5, 3, 3], [3, 3.5, 4, 4], [3, 3.5, 4, 4]]
    ramp = torch.arange(6.0).reshape(1, 1, 1, 6)
    assert tensorflow_bilinear(ramp, (1, 3)).flatten().tolist() == [0, 2, 4]  # no antialiasing: every second pixel
    assert tensorflow_bilinear(ramp, (1, 4)).flatten().tolist() == [0, 1.5, 3, 4.5]
    assert torch.equal(tensorflow_bilinear(ramp, (1, 6)), ramp)


class Plain(nn.Module):
    """Stands for the Inception net: means of quarters of its 299-pixel input, so 12 features."""

    version, num_features = "1", 12

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, None]:
        assert images_NCHW.shape[1:] == (3, 299, 299)
        return nn.functional.adaptive_avg_pool2d(images_NCHW, 2).flatten(1) / 255, None


@pytest.fixture
def adm(monkeypatch: pytest.MonkeyPatch) -> InceptionADM:
    net = InceptionADM.__new__(InceptionADM)
    net._net, net.version, net.num_features = Plain(), "1", 12  # type: ignore[assignment]
    monkeypatch.setattr("rpe2d_bench.metrics.score_files.load_net", lambda *arguments: net)
    return net


def test_a_reference_batchs_statistics_are_used_for_fid_and_for_nothing_else(tmp_path: Path, adm: InceptionADM) -> None:
    rng = np.random.default_rng(0)
    samples, real = (rng.integers(0, 256, (40, 20, 24, 3), dtype=np.uint8) for _ in range(2))
    mean, root = rng.normal(0.5, 0.1, 12), rng.normal(0, 0.05, (30, 12))
    np.savez(tmp_path / "samples.npz", arr_0=samples)
    np.savez(tmp_path / "plain.npz", arr_0=real)
    np.savez(tmp_path / "batch.npz", arr_0=real, mu=mean, sigma=np.cov(root, rowvar=False))
    found = {
        name: measure_paths(tmp_path / "samples.npz", tmp_path / f"{name}.npz", ["fid_adm", "kid"], "inception-adm")
        for name in ("plain", "batch")
    }
    assert found["plain"].values["kid_inception-adm"] == found["batch"].values["kid_inception-adm"]
    features, _ = adm.features_and_logits(torch.from_numpy(samples.transpose(0, 3, 1, 2)).float())
    theirs, _ = adm.features_and_logits(torch.from_numpy(real.transpose(0, 3, 1, 2)).float())
    covariance = np.cov(root, rowvar=False)
    expected = fd.distance(fd.fit(features.numpy()), fd.from_moments(mean, covariance, 30))
    assert found["batch"].values["fid_adm"] == pytest.approx(expected, rel=1e-4)
    assert found["plain"].values["fid_adm"] == pytest.approx(
        fd.frechet_distance(features.numpy(), theirs.numpy()), rel=1e-4
    )
    assert found["batch"].details["notes"]["fid_adm"] == "40 images against mu and sigma of batch.npz"
    assert "TensorFlow 1's bilinear filter" in found["batch"].details["resize"]["whole"]


def test_statistics_that_do_not_belong_together_are_refused(tmp_path: Path, adm: InceptionADM) -> None:
    images = np.zeros((4, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "samples.npz", arr_0=images)
    np.savez(tmp_path / "batch.npz", arr_0=images, mu=np.zeros(12), sigma=np.eye(11))
    with pytest.raises(UserError, match=r"mu and sigma of .*batch\.npz"):
        measure_paths(tmp_path / "samples.npz", tmp_path / "batch.npz", ["fid_adm"], "inception-adm")


def test_the_two_resizes_have_two_names() -> None:
    assert value_name("fd", "inception", None) == "fid"
    assert value_name("fd", "inception-adm", None) == "fid_adm"
    assert validate(["fid_adm"], "inception-adm") == ["fd"]
    with pytest.raises(UserError, match="'fid' means the net 'inception'"):
        validate(["fid"], "inception-adm")
    assert table.entry("inception-adm").needs_weights
