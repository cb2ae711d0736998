"""Nets whose weights the user brings: read, named by their content, or refused with a sentence.

No trained weights are needed: random ones of the same architecture are as good for parity.
"""

from __future__ import annotations

import os
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.measured import measure_paths
from torch import nn

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import load_net, validate, value_name
from rpe2d_bench.metrics.fd import frechet_distance
from rpe2d_bench.metrics.inception_score import inception_score
from rpe2d_bench.metrics.nets.features import extract
from rpe2d_bench.metrics.nets.table import net_version
from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision


class Block(nn.Module):
    """A block whose first branch is called conv, as in the TorchScript net."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 9, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((self.conv(x), 2 * x), 1)


class TinyInception(nn.Module):
    """The parts of the TorchScript net that are looked at, under the names they have there."""

    def __init__(self) -> None:
        super().__init__()
        parts = [
            ("conv", nn.Conv2d(3, 4, 3, stride=16)), ("pool0", nn.AdaptiveAvgPool2d(17)), ("mixed_5", nn.Identity()),
            ("mixed_6", Block()), ("mixed_7", nn.Conv2d(13, 2048, 1)), ("pool2", nn.AdaptiveAvgPool2d(1)),
        ]  # fmt: skip
        self.layers = nn.Sequential(OrderedDict(parts))
        self.output = nn.Linear(2048, 1008)

    def forward(self, images: torch.Tensor, return_features: bool = True) -> torch.Tensor:
        return self.layers(images)


def grey(images: np.ndarray) -> torch.Tensor:
    return (torch.from_numpy(images).float() - 128) / 128


def test_the_torchscript_inception_is_read_in_its_two_halves(tmp_path: Path, make_images) -> None:
    torch.manual_seed(0)
    whole = TinyInception().eval()
    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(whole).save(path)
    net = load_net("inception", path)
    images = make_images(3, 0, (299, 299), 3)
    seen, spatial = extract(images, net), extract(images, net.spatial)  # type: ignore[attr-defined]
    with torch.inference_mode():
        features = whole.layers(grey(images)).flatten(1)
        logits = features @ whole.output.weight.T
        places = whole.layers.mixed_6.conv(whole.layers[:3](grey(images)))[:, :7].flatten(1)
    np.testing.assert_allclose(seen.features_ND, features, atol=1e-5)
    np.testing.assert_allclose(seen.logits_NK, logits, atol=1e-5)  # without the bias of the last layer
    np.testing.assert_allclose(spatial.features_ND, places, atol=1e-5)
    assert (spatial.features_ND.shape, spatial.net) == ((3, 2023), "inception-spatial")


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """torch-fidelity's net with random weights, and the file it was loaded from."""
    import_torchvision()
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    torchvision = import_torchvision()
    torch.manual_seed(0)
    made = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # torch's own would let features vanish over fifty layers
    path = tmp_path_factory.mktemp("weights") / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(made.state_dict(), path)
    return path, inception("random", ["2048", "logits_unbiased"], str(path))


def test_the_state_of_inception_gives_torch_fidelitys_features(random_inception, make_images) -> None:
    path, theirs = random_inception
    images = make_images(2, 1, (299, 299), 3)  # at the net's own size nobody resizes
    places = []
    theirs.Mixed_6d.branch1x1.register_forward_hook(lambda _, __, output: places.append(output))
    features, logits = theirs(torch.from_numpy(images))
    net = load_net("inception", path)
    ours, spatial = extract(images, net), extract(images, net.spatial)  # type: ignore[attr-defined]
    for found, expected in (
        (ours.features_ND, features), (ours.logits_NK, logits), (spatial.features_ND, places[0][:, :7].flatten(1)),
    ):  # fmt: skip
        assert expected.std() > 0.01
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_anybodys_images_are_measured_with_inception(random_inception, make_images, tmp_path: Path) -> None:
    path, _ = random_inception
    sides = [make_images(6, 0, (20, 24), 3), make_images(6, 1, (20, 24), 3) // 3]
    for seed, side in enumerate(sides):
        np.savez(tmp_path / f"{seed}.npz", side.transpose(0, 2, 3, 1))
    names = ["fid", "kid", "sfid", "inception_score"]
    found = measure_paths(tmp_path / "0.npz", tmp_path / "1.npz", names, "inception", weights=path, batch_size=4)
    net = load_net("inception", path)
    (seen, real), (near, far) = ([extract(side, each) for side in sides] for each in (net, net.spatial))  # type: ignore[attr-defined]
    assert list(found.values) == ["fid", "kid_inception", "sfid", "inception_score"]
    assert found.values["fid"] == pytest.approx(frechet_distance(seen.features_ND, real.features_ND), rel=1e-4)
    assert found.values["sfid"] == pytest.approx(frechet_distance(near.features_ND, far.features_ND), rel=1e-4)
    assert found.values["inception_score"] == pytest.approx(inception_score(seen.logits_NK)[0], rel=1e-5)
    assert found.versions["fid"] == f"1+inception-{net.version}"
    assert found.versions["sfid"] == f"1+inception-spatial-{net.version}"
    assert "one block of 6; below 5000 images" in found.details["notes"]["inception_score"]
    for name in ("sfid", "inception_score"):
        with pytest.raises(UserError, match=f"'{name}' is defined on the features of 'inception', not of 'glyphnet'"):
            validate([name], "glyphnet")


def test_weights_are_named_by_their_content_alone(tmp_path: Path) -> None:
    one, moved, other = (tmp_path / name / "inception-2015-12-05.pt" for name in ("a", "b", "c"))
    for path in (one, moved, other):
        path.parent.mkdir()
    torch.jit.script(TinyInception()).save(one)
    shutil.copy(one, moved)
    torch.jit.script(TinyInception()).save(other)
    assert net_version("inception", one) == net_version("inception", moved) == load_net("inception", one).version
    assert net_version("inception", other) != net_version("inception", one)
    shutil.copy(other, one)
    os.utime(one, ns=(1, 1))
    assert net_version("inception", one) == net_version("inception", other)
    assert (value_name("fd", "inception", None), validate(["fid"], "inception")) == ("fid", ["fd"])


def test_inception_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"are the file inception-2015-12-05\.pt"):
        load_net("inception", tmp_path / "other.pt")
    with pytest.raises(UserError, match="cannot be read"):
        load_net("inception", tmp_path)
    script = tmp_path / "inception-2015-12-05.pt"
    script.write_bytes(b"nothing")
    with pytest.raises(UserError, match="is not the TorchScript Inception net"):
        load_net("inception", script)
    torch.jit.script(nn.Sequential(OrderedDict(layers=nn.Sequential()))).save(script)
    load_net.cache_clear()
    with pytest.raises(UserError, match="no layer 'mixed_6'"):
        load_net("inception", script)
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "state.pth")
    with pytest.raises(UserError, match="does not hold the weights of the FID Inception"):
        load_net("inception", tmp_path / "state.pth")


def test_dinov2_takes_weights_trained_at_another_size(tmp_path: Path, make_images) -> None:
    import_torchvision()
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_small_patch14_dinov2", img_size=28, num_classes=0, depth=12)
    torch.save(model.state_dict(), tmp_path / "small.pth")
    net = load_net("dinov2", tmp_path / "small.pth")
    assert (net.num_features, net.name) == (384, "dinov2-small")  # FD-DINOv2 is the large one's alone
    assert net.version == net_version("dinov2", tmp_path / "small.pth")
    assert extract(make_images(1, 0, (16, 16), 3), net).features_ND.shape == (1, 384)
    torch.save({"cls_token": torch.zeros(1, 1, 100)}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match="of a known size"):
        load_net("dinov2", tmp_path / "odd.pth")
    (tmp_path / "torn.pth").write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot be read as weights"):
        load_net("dinov2", tmp_path / "torn.pth")


def test_weights_are_asked_for_only_where_they_are_needed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ships without weights; give their path"):
        load_net("inception")
    with pytest.raises(UserError, match="brings its own weights"):
        load_net("efficientnet-lite0", tmp_path)
    with pytest.raises(UserError, match="does not classify"):
        validate(["accuracy"], "glyphnet", "inception")
