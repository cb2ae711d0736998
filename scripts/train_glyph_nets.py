"""Trains the shipped glyph nets: `python -m scripts.train_glyph_nets [--out DIR]`.

One thread, a few minutes, no data but the renderer. Same seed and same versions of torch and matplotlib give the same
weights on the same kind of processor. The draws are those of the renderer's seeds below, which no experiment uses.

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from rpe2d_bench.data.glyphs.outlines import FONTS
from rpe2d_bench.data.glyphs.textures import TEXTURES
from rpe2d_bench.metrics.nets import glyph
from rpe2d_bench.metrics.nets.resize import resize
from rpe2d_bench.resolution import Size
from scripts.glyph_damage import KINDS, damage

VERSION = "2"
STEPS = {"glyphnet": 3500, "glyphjudge": 2000}
DATA_SEED = {"glyphnet": 1_000_003, "glyphjudge": 2_000_003}
SEED = {"glyphnet": 11, "glyphjudge": 23}
GROUPS, GROUP = 4, 16  # images of a step: groups that share setting, resolution and kinds of damage
PER_POOL = 320  # images of each setting and resolution
GRAIN = 5.0  # grey levels; noise of up to this spread is on half of all images and is no damage: no eye sees it
FAINT = 0.15  # damage below this strength need not be recognised, only its strength told

_all = tuple(FONTS)
_digits = GlyphOptions()
_several = GlyphOptions(fonts=_all, jitter=0.1, size_jitter=0.3, objects=3)
SETTINGS: tuple[GlyphOptions, ...] = (
    _digits,
    _several,
    replace(_several, texture="random"),
    replace(_several, texture="random", background="textured"),
    replace(_several, texture="random", background="textured", colour="random", channels=3),
    GlyphOptions(classes="letters", fonts=_all),
    replace(_several, classes="letters", texture="random", background="textured", objects=2),
)
SHARES = (0.3, 0.15, 0.15, 0.1, 0.1, 0.1, 0.1)  # of the groups
RESOLUTIONS: tuple[Size, ...] = (
    *((n, n) for n in (16, 20, 24, 32, 40, 48, 64, 80, 96)),
    *((16, 32), (32, 16), (32, 64), (64, 32), (24, 48), (48, 24), (48, 72), (96, 48)),
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """Images at one resolution (uint8), with what the renderer knows about them."""

    images_BCHW: Tensor
    targets: dict[str, Tensor]


def pools(seed: int) -> dict[tuple[int, Size], Group]:
    """Images of every setting and resolution, rendered once."""
    made = {}
    for number, options in enumerate(SETTINGS):
        glyphs = replace(options, seed=seed).build()
        first = 0 if options.classes == "digits" else 10
        for at, resolution in enumerate(RESOLUTIONS):
            indices = np.arange(PER_POOL) + at * PER_POOL
            scenes = glyphs.scenes("train", indices)
            fonts = torch.tensor([_all.index(name) for name in options.fonts])
            targets = {
                "class": scenes.labels_B + first,
                "font": fonts[scenes.font_B],
                "texture": torch.where(torch.tensor(options.texture == "none"), 0, scenes.texture_B + 1),
                "ground": torch.where(torch.tensor(options.background == "black"), 0, scenes.back_texture_B + 1),
                "count": scenes.count_B - 1,
                "size": scenes.size_BK.amax(1).log2(),
                "sharpness": torch.full((PER_POOL,), float(np.log2(min(resolution)))) - 5,
            }
            made[number, resolution] = Group(torch.from_numpy(glyphs.render(scenes, resolution)), targets)
    return made


def batches(seed: int, steps: int, rng: Generator, size: Size, damaged: float) -> Iterator[Group]:
    """Float images at the net's input size; a share of them damaged before they were resized."""
    pool = pools(seed)
    for _ in range(steps):
        images, targets = [], []
        for setting in torch.multinomial(torch.tensor(SHARES), GROUPS, replacement=True, generator=rng).tolist():
            resolution = RESOLUTIONS[int(torch.randint(len(RESOLUTIONS), (), generator=rng))]
            group = pool[setting, resolution]
            chosen = torch.randint(PER_POOL, (GROUP,), generator=rng)
            x = group.images_BCHW[chosen].float()
            found = {name: values[chosen] for name, values in group.targets.items()}
            found["damage"] = torch.zeros(GROUP, dtype=torch.long)
            found["strength"] = torch.zeros(GROUP)
            hurt = round(GROUP * damaged / 2)
            for part in (slice(0, hurt), slice(hurt, 2 * hurt)) if hurt else ():
                kind = int(torch.randint(len(KINDS), (), generator=rng))
                strength = 1 - torch.rand(hurt, generator=rng)
                x[part] = damage(kind, x[part], strength, rng)
                found["damage"][part], found["strength"][part] = kind + 1, strength
            grain = GRAIN * (2 * torch.rand((GROUP, 1, 1, 1), generator=rng) - 1).clamp(min=0)
            x = (x + grain * torch.randn(x.shape, generator=rng)).round().clamp(0, 255)
            images.append(resize(x, size).expand(-1, 3, -1, -1))
            targets.append(found)
        joined = {name: torch.cat([t[name] for t in targets]) for name in targets[0]}
        yield Group(torch.cat(images), joined)


class Heads(nn.Module):
    """What glyphnet's features must tell besides the class; dropped after training."""

    def __init__(self, features: int) -> None:
        super().__init__()
        sizes = {"font": len(FONTS), "texture": TEXTURES + 1, "ground": TEXTURES + 1, "count": 3}
        self.choices = nn.ModuleDict({name: nn.Linear(features, size) for name, size in sizes.items()})
        self.damage = nn.Linear(features, len(KINDS) + 1)
        self.numbers = nn.Linear(features, 3)  # size, sharpness, strength

    def loss(self, features_BD: Tensor, targets: dict[str, Tensor]) -> Tensor:
        whole = targets["damage"] == 0
        clear = whole | (targets["strength"] > FAINT)
        total: Tensor = functional.cross_entropy(self.damage(features_BD[clear]), targets["damage"][clear])
        for name, head in self.choices.items():
            weight = 1.5 if name in ("texture", "ground") else 0.5
            total = total + weight * functional.cross_entropy(head(features_BD[whole]), targets[name][whole])
        size, sharpness, strength = self.numbers(features_BD).unbind(1)
        total = total + functional.mse_loss(size[whole], targets["size"][whole])
        total = total + functional.mse_loss(sharpness[whole], targets["sharpness"][whole])
        return total + 2 * functional.mse_loss(strength, targets["strength"])


def class_loss(logits_BK: Tensor, classes_B: Tensor) -> Tensor:
    """Cross-entropy among the digits or among the letters: an O and a zero are not told apart."""
    digit = (classes_B < 10)[:, None] == (torch.arange(logits_BK.shape[1]) < 10)
    return functional.cross_entropy(logits_BK.masked_fill(~digit, -1e4), classes_B)


def train(name: str, steps: int) -> glyph.GlyphNet | glyph.GlyphJudge:
    """A trained net with its norms still in place, its features standardised on undamaged images."""
    torch.manual_seed(SEED[name])
    rng = Generator().manual_seed(SEED[name])
    net: glyph.GlyphNet | glyph.GlyphJudge = glyph.NETS[name](norm=True)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    heads = Heads(net.num_features) if name == "glyphnet" else None
    parameters = [*net.parameters(), *(heads.parameters() if heads else [])]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    started = time.monotonic()
    for step, batch in enumerate(batches(DATA_SEED[name], steps, rng, net.input_size, 0.5 if heads else 0.25)):
        x = glyph.normalise(batch.images_BCHW).contiguous(memory_format=torch.channels_last)
        features_BD, logits_BK = net(x)
        light = (batch.targets["damage"] == 0) | (batch.targets["strength"] < 0.3)
        loss = class_loss(logits_BK[light], batch.targets["class"][light])
        if heads:
            loss = loss + heads.loss(features_BD, batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            spent = time.monotonic() - started
            log.info("%s step %d of %d, loss %.3f, %.0f s", name, step + 1, steps, loss.item(), spent)
    net.eval()
    if heads:
        standardise(net, rng)
    return net


@torch.no_grad()
def standardise(net: glyph.GlyphNet | glyph.GlyphJudge, rng: Generator) -> None:
    """Scales every feature to variance 1 over undamaged images of all settings, and the classes' weights back."""
    drawn = [net(glyph.normalise(b.images_BCHW))[0] for b in batches(0, 40, rng, net.input_size, 0.0)]
    mean, spread = torch.cat(drawn).mean(0), torch.cat(drawn).std(0)
    net.classes.bias.add_(net.classes.weight @ mean)
    net.classes.weight.mul_(spread)
    net.features.bias.sub_(mean).div_(spread)
    net.features.weight.div_(spread[:, None])


def main() -> None:
    """Trains and writes the nets."""
    parser = argparse.ArgumentParser(description="Train the glyph nets that ship with the package.")
    parser.add_argument("--out", type=Path, default=glyph.WEIGHTS, help="folder of the weights")
    parser.add_argument("--only", choices=sorted(glyph.NETS), help="train one net")
    parser.add_argument("--steps", type=int, help="fewer steps, for trying")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else glyph.NETS:
        net = train(name, options.steps or STEPS[name])
        glyph.save(net, options.out / f"{name}.safetensors", VERSION)


if __name__ == "__main__":
    main()
