"""AutoencoderKL of diffusers, from a local folder (config.json and weights); the optional extra `latents`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rpe2d_bench.autoencoders.interface import ABSENT, LatentSpace
from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.files import sha256_of_unchanged

VERSION = 1
CONFIG = "config.json"
# Of encoder and decoder per pixel, counted with torch's FlopCounterMode: the AutoencoderKL of Stable Diffusion
# (128, 256, 512, 512 channels), which any other of its kind is taken for
FLOPS = (4.2e6, 9.5e6)
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")


@dataclass(frozen=True)
class DiffusersOptions:
    """Options of `autoencoder: {kind: diffusers, path: DIR}`."""

    path: str  # of the folder that AutoencoderKL.save_pretrained wrote
    posterior: Literal["mean", "sample"] = (
        "mean"  # of what is trained on; sample: drawn anew for every batch, as DiT does
    )
    windows: int = 4  # random crops of a training image that are encoded once and kept; matters where models crop
    downsampling: int | None = None  # expected; with channels, `plan` can count before the folder is there
    channels: int | None = None  # of latents, expected
    precision: Literal["auto", "float32", "bf16"] = "auto"  # auto: what a measurement finds faster on this machine

    def check(self) -> None:
        """Raises UserError for values that cannot work, and for a folder that is not there where no size is given."""
        if self.windows < 1:
            raise UserError(f"autoencoder.windows must be at least 1, not {self.windows}")
        if not (Path(self.path) / CONFIG).is_file() and None in (self.downsampling, self.channels):
            raise UserError(
                f"autoencoder.path: {self.path} has no {CONFIG}; give the folder of a diffusers AutoencoderKL "
                "(to plan without it, give autoencoder.downsampling and autoencoder.channels)"
            )

    def describe(self) -> LatentSpace:
        folder = Path(self.path)
        if not (folder / CONFIG).is_file():
            assert self.downsampling is not None  # check() sees to it
            assert self.channels is not None
            return self._space(ABSENT, self.downsampling, self.channels)
        config = self._config()
        downsampling, channels = 2 ** (len(config["block_out_channels"]) - 1), int(config["latent_channels"])
        for name, found, expected in (
            ("downsampling", downsampling, self.downsampling),
            ("channels", channels, self.channels),
        ):
            if expected not in (None, found):
                raise UserError(f"autoencoder.{name}: {expected} was expected, {self.path} has {found}")
        weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
        if weights is None:
            raise UserError(f"autoencoder.path: {self.path} has no weights; it needs {' or '.join(WEIGHTS)}")
        about = {name: value for name, value in config.items() if not name.startswith("_")}
        about |= {"weights": sha256_of_unchanged(weights), "posterior": self.posterior}
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        return self._space(f"v{VERSION}-{digest}", downsampling, channels)

    def load(self, device: str) -> DiffusersAutoencoder:
        try:
            from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision

            import_torchvision()  # which diffusers imports, too
            from diffusers import AutoencoderKL
        except ImportError as error:
            raise UserError(
                f"autoencoder diffusers needs the package diffusers ({error}); install it: "
                "pip install 'rpe2d-bench[latents]'"
            ) from None
        try:
            network = AutoencoderKL.from_pretrained(
                self.path, local_files_only=True, torch_dtype=torch.float32, low_cpu_mem_usage=False
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"autoencoder.path: {self.path} cannot be read as an AutoencoderKL ({reason})") from None
        return DiffusersAutoencoder(network, device, sample=self.posterior == "sample")

    def _space(self, revision: str, downsampling: int, channels: int) -> LatentSpace:
        sampled = self.posterior == "sample"
        return LatentSpace(self, f"diffusers-{revision}", downsampling, channels, self.windows, FLOPS, sampled)

    def _config(self) -> dict[str, Any]:
        try:
            config: dict[str, Any] = json.loads((Path(self.path) / CONFIG).read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"autoencoder.path: {self.path}/{CONFIG} cannot be read ({error})") from None
        if config.get("_class_name") != "AutoencoderKL" or not {"block_out_channels", "latent_channels"} <= set(config):
            raise UserError(f"autoencoder.path: {self.path} is {config.get('_class_name')}, not an AutoencoderKL")
        return config


class DiffusersAutoencoder:
    """Latents are shifted and scaled by the numbers of the config, (z - shift_factor) x scaling_factor."""

    def __init__(self, network: Any, device: str, *, sample: bool) -> None:
        self._network = network.eval().requires_grad_(False).to(device)
        self._sample = sample
        config = network.config
        self._scale, self._shift = float(config.scaling_factor), float(config.shift_factor or 0.0)
        self.downsampling, self.channels = 2 ** (len(config.block_out_channels) - 1), int(config.latent_channels)

    def encode(self, images_BCYX: Tensor) -> Tensor:
        """The posterior's mean, and behind it its deviation where it will be sampled."""
        posterior = self._network.encode(images_BCYX * 2 - 1).latent_dist
        mean = (posterior.mean - self._shift) * self._scale
        return torch.cat((mean, posterior.std * self._scale), dim=1) if self._sample else mean

    def decode(self, latents_BLyx: Tensor) -> Tensor:
        images: Tensor = self._network.decode(latents_BLyx / self._scale + self._shift).sample
        return (images + 1) / 2
