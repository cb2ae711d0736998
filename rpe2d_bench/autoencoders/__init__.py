"""Autoencoders by name: what stands between pixels and the model when an experiment has `autoencoder:`.

Images stay uint8 pixels at every border. Training encodes its pool once; sampling decodes; metrics, references and
reports never see a latent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rpe2d_bench.autoencoders.coding import decoded, encoded
from rpe2d_bench.autoencoders.diffusers_kl import DiffusersOptions
from rpe2d_bench.autoencoders.interface import Autoencoder, AutoencoderOptions, InBfloat16, LatentSpace
from rpe2d_bench.autoencoders.ready_latents import ReadyLatentsOptions
from rpe2d_bench.autoencoders.taef2 import Taef2Options
from rpe2d_bench.config.entry_points import Table, no_options
from rpe2d_bench.config.options import named, parse_options
from rpe2d_bench.errors import UserError

AUTOENCODERS: Table[type[AutoencoderOptions]] = Table(
    "rpe2d_bench.autoencoders",
    "AUTOENCODERS",
    "autoencoder",
    {
        "diffusers": DiffusersOptions,
        "ready_latents": ReadyLatentsOptions,
        "taef2": Taef2Options,
    },
    no_options("check", "describe", "load"),
)

__all__ = [
    "AUTOENCODERS",
    "Autoencoder",
    "AutoencoderOptions",
    "LatentSpace",
    "computed_in",
    "decoded",
    "describe",
    "encoded",
    "load",
    "validate",
]


def validate(spec: Mapping[str, Any]) -> AutoencoderOptions:
    """The checked options of `autoencoder: {kind: ..., ...}`; UserError names what is wrong."""
    kind, options = named(AUTOENCODERS, spec, "autoencoder")
    checked = parse_options(kind, options, "autoencoder", f"autoencoder {spec['kind']!r}")
    checked.check()
    return checked


def describe(options: AutoencoderOptions) -> LatentSpace:
    """Size of its latents and a hash of its weights; loads no network. What bfloat16 makes is another space."""
    space = options.describe()
    if space.present and _precision(options) == "bf16":
        return dataclasses.replace(space, revision=f"{space.revision}-bf16")
    return space


def takes_precision(options: AutoencoderOptions) -> bool:
    """Whether an autoencoder leaves its arithmetic to this machine: it has the option, and the file does not decide."""
    return _precision(options) == "auto"


def computed_in(space: LatentSpace, precision: str) -> LatentSpace:
    """The same autoencoder in an arithmetic."""
    return describe(dataclasses.replace(space.options, precision=precision))  # type: ignore[type-var]


def load(space: LatentSpace, device: str = "cpu") -> Autoencoder:
    """The network, ready to encode and decode. Raises UserError where its files are not those that were described."""
    if not space.present or describe(space.options).revision != space.revision:
        raise UserError(
            f"{space.place} does not hold the weights that this run was planned with; give the path of the same files"
        )
    network = space.options.load(device)
    return InBfloat16(network, device) if _precision(space.options) == "bf16" else network


def _precision(options: AutoencoderOptions) -> str | None:
    return getattr(options, "precision", None)
