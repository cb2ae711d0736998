"""Nets whose weights the user brings: read, named by their content, or refused with a sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import load_net, validate, value_name
from rpe2d_bench.metrics.features import extract
from rpe2d_bench.metrics.torchvision_import import import_torchvision


class TinyLayers(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean(dim=(2, 3)).repeat(1, 683)[:, :2048]


class TinyInception(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = TinyLayers()

    def forward(self, pictures: torch.Tensor, return_features: bool = True) -> torch.Tensor:
        return self.layers(pictures)


def test_inception_is_normalised_and_named_by_its_weights(tmp_path: Path, make_pictures) -> None:
    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(TinyInception()).save(path)
    net = load_net("inception", path)
    pictures = np.full((2, 3, 40, 40), 192, np.uint8)
    features = extract(pictures, net)
    assert features.features_ND.shape == (2, 2048)
    np.testing.assert_allclose(features.features_ND, 0.5, atol=1e-5)  # (192 - 128) / 128, clean-fid's range
    assert len(net.version) == 12
    assert value_name("fd", net.name, None) == "fid"
    assert validate(["fid"], "inception") == ["fd"]


def test_inception_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"are the file inception-2015-12-05\.pt"):
        load_net("inception", tmp_path / "other.pt")
    with pytest.raises(UserError, match="cannot be read"):
        load_net("inception", tmp_path)
    (tmp_path / "inception-2015-12-05.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match="is not the TorchScript Inception net"):
        load_net("inception", tmp_path)


def test_dinov2_takes_weights_trained_at_another_size(tmp_path: Path, make_pictures) -> None:
    import_torchvision()
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_small_patch14_dinov2", img_size=28, num_classes=0, depth=12)
    torch.save(model.state_dict(), tmp_path / "small.pth")
    net = load_net("dinov2", tmp_path / "small.pth")
    assert (net.num_features, net.name) == (384, "dinov2")
    assert net.version.startswith("384-")
    assert extract(make_pictures(1, 0, (16, 16), 3), net).features_ND.shape == (1, 384)
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
