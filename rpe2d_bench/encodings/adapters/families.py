"""Which transformers of diffusers take our rules, and how each of them is asked; one line per class.

A family says where positions are made (its module), the timestep of noise and of data, whether its own rule already is
interpolation, and whether it adds positions, which leaves a logit scale no place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rpe2d_bench.encodings.adapters import flux, flux2, hunyuan_dit, lumina2, qwen_image, sincos_table, z_image
from rpe2d_bench.encodings.adapters.rules import Clock, Rules, Spectrum, spectrum_of
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.interface import Frequencies, Grid, LogitScale, Positions
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.errors import UserError

VERSION = 1  # of the adapters; a change that changes numbers raises it


@dataclass(frozen=True)
class Family:
    """How a class of transformers is adapted."""

    install: Callable[..., list[Any]]  # transformer, rules, clock -> handles with remove()
    spectrum: Callable[[Any], Spectrum] = spectrum_of
    noise: float = 1.0  # the timestep of pure noise, as the pipeline passes it
    data: float = 0.0
    squeezes: bool = False  # every size into the trained image's range: its own rule is interpolation
    adds: bool = False  # positions are added to the patches
    embeddings: tuple[str, ...] = ()  # classes that pos_embed may have

    def changes(self, transformer: Any, rules: Rules, grid: Grid, ts: Sequence[float]) -> bool:
        """Whether the rules make anything else of a grid than the untouched transformer does."""
        return (self.squeezes and grid != rules.train_grid) or rules.changes(grid, self.spectrum(transformer), ts)


ROTARY = ("FluxPosEmbed", "LongCatImagePosEmbed", "OvisImagePosEmbed", "BriaEmbedND", "BriaFiboEmbedND")
FLUX = Family(flux.install, embeddings=ROTARY)
BRIA = Family(flux.install, noise=1000.0, embeddings=ROTARY)
TABLE = Family(sincos_table.install, sincos_table.spectrum, noise=1000.0, adds=True, embeddings=("PatchEmbed",))
SQUEEZED = Family(
    sincos_table.install, sincos_table.spectrum, noise=1000.0, squeezes=True, adds=True, embeddings=("PatchEmbed",)
)

FAMILIES: dict[str, Family] = {
    "FluxTransformer2DModel": FLUX,
    "ChromaTransformer2DModel": FLUX,
    "LongCatImageTransformer2DModel": FLUX,
    "OvisImageTransformer2DModel": FLUX,
    "BriaTransformer2DModel": BRIA,
    "BriaFiboTransformer2DModel": BRIA,
    "Flux2Transformer2DModel": Family(flux2.install),
    "SD3Transformer2DModel": TABLE,
    "PixArtTransformer2DModel": SQUEEZED,
    "DiTTransformer2DModel": SQUEEZED,
    "Lumina2Transformer2DModel": Family(lumina2.install, noise=0.0, data=1.0),
    "ZImageTransformer2DModel": Family(z_image.install, noise=0.0, data=1.0),
    "QwenImageTransformer2DModel": Family(qwen_image.install),
    "HunyuanDiT2DModel": Family(hunyuan_dit.install, hunyuan_dit.spectrum, noise=1000.0, squeezes=True),
}
REFUSED = {
    "SanaTransformer2DModel": "has no positions: its convolutions place the tokens, so there is nothing that a rule "
    "could change",
    "AuraFlowTransformer2DModel": "learned one vector for each place of its grid, which no rule of positions or "
    "frequencies continues",
}


def family_of(transformer: Any) -> Family:
    """The family of a transformer; raises UserError, in one sentence, where rules cannot be put into it."""
    names = [cls.__name__ for cls in type(transformer).__mro__]
    for name in names:
        if name in REFUSED:
            raise UserError(f"{name} {REFUSED[name]}")
    family = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    embedding = type(getattr(transformer, "pos_embed", None)).__name__
    if family is None or (family.embeddings and embedding not in family.embeddings):
        known = ", ".join(name.removesuffix("Transformer2DModel").removesuffix("2DModel") for name in FAMILIES)
        raise UserError(f"{names[0]} has no positions that rules can be put into; supported are diffusers' {known}")
    return family


def swap_rotary(
    transformer: Any,
    train_grid: Grid,
    frequencies: Frequencies = Geometric(),  # noqa: B008  (frozen values)
    logit_scale: LogitScale = Constant(),  # noqa: B008
    positions: Positions = GridPositions(),  # noqa: B008
    image: Grid | None = None,
) -> Callable[[], None]:
    """Give a diffusers transformer our rules; returns a function that puts its own positions back.

    train_grid: tokens of the training resolution, 64x64 for Flux at 1,024 px (16 px a token). The rotary base is the
    transformer's own. image: tokens of the image that is made, needed only where a Flux-like sequence's ids do not
    tell. A second swap takes the place of the first. Raises UserError at once for a transformer that is not in
    `FAMILIES`, and for a logit scale where positions are added.
    """
    return put(transformer, Rules(train_grid, frequencies, logit_scale, positions), image)


def put(transformer: Any, rules: Rules, image: Grid | None = None) -> Callable[[], None]:
    """`swap_rotary` with the rules in one object."""
    undo = vars(transformer).get("_restore_positions")
    if undo is not None:
        undo()
    family = family_of(transformer)
    if family.adds and not isinstance(rules.logit_scale, Constant):
        raise UserError(
            f"{type(transformer).__name__} adds its positions to the patches, where a logit scale has no place; leave "
            "logit_scale out"
        )
    rules.line(
        rules.context(rules.train_grid, None), 0, family.spectrum(transformer)
    )  # a rule without theta is refused
    clock = Clock(family.noise, family.data)
    options = {} if image is None or family.install is not flux.install else {"image": image}
    handles = family.install(transformer, rules, clock, **options)

    _forget_compiled()

    def restore() -> None:
        for handle in handles:
            handle.remove()
        _forget_compiled()
        if vars(transformer).get("_restore_positions") is restore:
            del transformer._restore_positions

    transformer._restore_positions = restore
    return restore


def _forget_compiled() -> None:
    """What torch.compile made before goes: it guards no hooks, and would go on with the rules of before."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
