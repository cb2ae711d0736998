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
from rpe2d_bench.autoencoders.taef2 import Taef2Options
from rpe2d_bench.config.options import parse_options
from rpe2d_bench.errors import UserError, unknown

AUTOENCODERS: dict[str, type[AutoencoderOptions]] = {"diffusers": DiffusersOptions, "taef2": Taef2Options}

__all__ = [
    "AUTOENCODERS",
    "Autoencoder",
    "AutoencoderOptions",
    "LatentSpace",
    "decoded",
    "describe",
    "encoded",
    "load",
    "validate",
]


def validate(spec: Mapping[str, Any]) -> AutoencoderOptions:
    """The checked options of `autoencoder: {kind: ..., ...}`; UserError names what is wrong."""
    if "kind" not in spec:
        raise UserError(f"autoencoder needs a kind, one of: {', '.join(sorted(AUTOENCODERS))}")
    if spec["kind"] not in AUTOENCODERS:
        raise unknown("autoencoder", str(spec["kind"]), AUTOENCODERS)
    options = {key: value for key, value in spec.items() if key != "kind"}
    kind = AUTOENCODERS[spec["kind"]]
    checked: AutoencoderOptions = parse_options(kind, options, "autoencoder", f"autoencoder {spec['kind']}")
    checked.check()
    return checked


def describe(spec: Mapping[str, Any]) -> LatentSpace:
    """Size of its latents and a hash of its weights; loads no network. What bfloat16 makes is another space."""
    space = validate(spec).describe(dict(spec))
    if space.present and spec.get("precision") == "bf16":
        return dataclasses.replace(space, revision=f"{space.revision}-bf16")
    return space


def takes_precision(spec: Mapping[str, Any]) -> bool:
    """Whether an autoencoder leaves its arithmetic to this machine: it has the option, and the file does not decide."""
    known = {field.name for field in dataclasses.fields(AUTOENCODERS[spec["kind"]])}  # type: ignore[arg-type]
    return "precision" in known and spec.get("precision", "auto") == "auto"


def load(space: LatentSpace, device: str = "cpu") -> Autoencoder:
    """The network, ready to encode and decode. Raises UserError where its files are not those that were described."""
    options = validate(space.spec)
    if not space.present or describe(space.spec).revision != space.revision:
        raise UserError(
            f"autoencoder.path: {space.spec['path']} does not hold the weights that this run was planned with; "
            "give the path of the same files"
        )
    network = options.load(device)
    return InBfloat16(network, device) if space.spec.get("precision") == "bf16" else network
