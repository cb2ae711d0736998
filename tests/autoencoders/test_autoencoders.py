"""Both kinds of autoencoder: sizes, scaling, what enters a key, and every mistake by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.toy_autoencoders import kl, taef2
from safetensors.torch import load_file, save_file

from rpe2d_bench import autoencoders
from rpe2d_bench.autoencoders.coding import psnr, reconstructed
from rpe2d_bench.autoencoders.taef2 import Taef2
from rpe2d_bench.errors import UserError


@pytest.fixture(scope="module")
def kl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kl(tmp_path_factory.mktemp("kl"), scaling_factor=0.5, shift_factor=0.25)


@pytest.fixture(scope="module")
def taef2_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taef2(tmp_path_factory.mktemp("taef2") / "taef2.safetensors")


def described(spec: dict[str, Any]) -> autoencoders.LatentSpace:
    return autoencoders.describe(autoencoders.validate(spec))


def random_images(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 3, height, width), dtype=np.uint8)


def test_diffusers_latents_are_shifted_and_scaled_by_its_config(kl_folder: Path) -> None:
    from diffusers import AutoencoderKL

    images = random_images(2, 32, 48)
    space = described({"kind": "diffusers", "path": str(kl_folder)})
    assert (space.downsampling, space.channels) == (8, 4)
    loaded = autoencoders.load(space)
    latents = autoencoders.encoded(loaded, images)
    reference = AutoencoderKL.from_pretrained(kl_folder).eval()
    with torch.inference_mode():
        posterior = reference.encode(torch.from_numpy(images).float() / 127.5 - 1).latent_dist
        decoded = reference.decode(posterior.mean).sample
    assert latents.shape == (2, 4, 4, 6)
    assert latents.dtype == np.float16
    np.testing.assert_allclose(latents, (posterior.mean.numpy() - 0.25) * 0.5, atol=2e-3)
    expected = ((decoded + 1) * 127.5).round().clamp(0, 255).numpy()
    exact = torch.from_numpy((posterior.mean.numpy() - 0.25) * 0.5)
    np.testing.assert_allclose(autoencoders.decoded(loaded, exact), expected, atol=1)


def test_a_sampled_posterior_stores_mean_and_deviation(kl_folder: Path) -> None:
    images = random_images(2, 32, 32)
    spec = {"kind": "diffusers", "path": str(kl_folder)}
    mean = autoencoders.encoded(autoencoders.load(described(spec)), images)
    sampled = described(spec | {"posterior": "sample"})
    both = autoencoders.encoded(autoencoders.load(sampled), images)
    assert both.shape == (2, 8, 4, 4)
    np.testing.assert_array_equal(both[:, :4], mean)
    assert (both[:, 4:] > 0).all()
    assert sampled.revision != described(spec).revision


def test_taef2_follows_its_description(taef2_file: Path) -> None:
    """The encoder's first half and one mid-block, written out from the architecture's description."""
    weights = {name: value.float() for name, value in load_file(taef2_file).items()}
    network = autoencoders.load(described({"kind": "taef2", "path": str(taef2_file)}))
    assert isinstance(network, Taef2)

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride=stride, padding=1)

    def block(x: torch.Tensor, name: str) -> torch.Tensor:
        if f"{name}.pool.0.weight" in weights:
            pooled = F.conv2d(x, weights[f"{name}.pool.0.weight"])
            pooled = F.group_norm(pooled, 4, weights[f"{name}.pool.1.weight"], weights[f"{name}.pool.1.bias"])
            x = x + F.conv2d(pooled.relu(), weights[f"{name}.pool.3.weight"])
        inner = conv(conv(conv(x, f"{name}.conv.0").relu(), f"{name}.conv.2").relu(), f"{name}.conv.4")
        return (inner + x).relu()

    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    expected = block(conv(x, "encoder.0"), "encoder.1")
    for first in (2, 6, 10):
        expected = conv(expected, f"encoder.{first}", stride=2)
        for number in range(first + 1, first + 4):
            expected = block(expected, f"encoder.{number}")
    latents = network.encode(x)
    torch.testing.assert_close(latents, conv(expected, "encoder.14"))
    assert latents.shape == (1, 32, 4, 6)
    torch.testing.assert_close(network.decode(latents * 1e6), network.decode(latents * 1e7))  # bounded by 3 tanh
    assert network.decode(latents).shape == (1, 3, 32, 48)


def test_weights_decide_the_revision_and_the_path_does_not(kl_folder: Path, taef2_file: Path, tmp_path: Path) -> None:
    for spec, place in (
        ({"kind": "diffusers", "path": str(kl_folder)}, shutil.copytree(kl_folder, tmp_path / "moved")),
        ({"kind": "taef2", "path": str(taef2_file)}, shutil.copy(taef2_file, tmp_path / "moved.safetensors")),
    ):
        revision = described(spec).revision
        assert described(spec | {"path": str(place)}).revision == revision
    other = taef2(tmp_path / "other.safetensors", seed=1)
    assert described({"kind": "taef2", "path": str(other)}).revision != revision


def test_batches_do_not_change_the_result(taef2_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = autoencoders.load(described({"kind": "taef2", "path": str(taef2_file)}))
    images = random_images(3, 16, 16)
    whole = reconstructed(network, images)
    monkeypatch.setattr(autoencoders.coding, "PIXELS", 256)
    np.testing.assert_allclose(reconstructed(network, images).astype(int), whole.astype(int), atol=1)


def test_psnr_of_a_known_error() -> None:
    zeros = np.zeros((2, 3, 4, 4), np.uint8)
    assert psnr(zeros, zeros + 5) == pytest.approx(20 * np.log10(255 / 5))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"path": "x"}, "is a mapping with a kind"),
        ({"kind": "difusers", "path": "x"}, "did you mean 'diffusers'"),
        ({"kind": "diffusers", "path": "nowhere"}, "has no config.json"),
        ({"kind": "taef2"}, "autoencoder.path is missing"),
        ({"kind": "taef2", "path": "x", "windows": 0}, "at least 1"),
        ({"kind": "taef2", "path": "x", "posterior": "mean"}, "autoencoder 'taef2' has no option 'posterior'"),
    ],
)
def test_mistakes_are_named(spec: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        described(spec)


def test_other_files_than_described_are_refused(kl_folder: Path, taef2_file: Path, tmp_path: Path) -> None:
    save_file({"encoder.0.weight": torch.zeros(3)}, tmp_path / "wrong.safetensors")
    with pytest.raises(UserError, match="does not hold the weights of taef2"):
        autoencoders.load(described({"kind": "taef2", "path": str(tmp_path / "wrong.safetensors")}))
    folder = shutil.copytree(kl_folder, tmp_path / "kl")
    space = described({"kind": "diffusers", "path": str(folder)})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"scaling_factor": 2.0}))
    with pytest.raises(UserError, match="planned with"):
        autoencoders.load(space)
    (folder / "config.json").write_text(json.dumps(config | {"_class_name": "AutoencoderTiny"}))
    with pytest.raises(UserError, match="not an AutoencoderKL"):
        described({"kind": "diffusers", "path": str(folder)})


def test_declared_sizes_plan_without_the_files_and_are_checked_against_them(kl_folder: Path) -> None:
    space = described({"kind": "diffusers", "path": "nowhere", "downsampling": 8, "channels": 4})
    assert not space.present
    with pytest.raises(UserError, match="does not hold the weights"):
        autoencoders.load(space)
    with pytest.raises(UserError, match=r"autoencoder\.channels: 16 was expected"):
        described({"kind": "diffusers", "path": str(kl_folder), "channels": 16})
