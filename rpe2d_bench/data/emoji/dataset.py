"""Images with detail and without a download: emoji of five icon sets, drawn from vectors, labelled by category.

An emoji stands on a ground of one colour, mirrored or not, shifted, scaled, and with all hues turned, by numbers drawn
from (seed, split, index). The image is a function on the plane: a larger resolution shows more of the vectors, not
larger pixels. In frames that are not square it is fitted to the short side, in the middle of the long one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from rpe2d_bench.data.counter_rng import uniform
from rpe2d_bench.data.emoji.drawing import EXTENT, RESVG, View, draw
from rpe2d_bench.data.emoji.packed import Emoji, packed
from rpe2d_bench.data.interface import SPLITS, Split
from rpe2d_bench.data.subsets import checked, mixed_order, split_of
from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.resolution import Size

VERSION = 1  # of split, order and drawing; raise it when a pixel or a split changes
SETS = ("noto", "noto-v1", "fluent-emoji-flat", "fluent-emoji", "fxemoji")

# slots of the random numbers of an image
_MIRROR, _Y, _X, _EXTENT, _HUE, _GROUND, _SLOTS = 0, 1, 2, 3, 4, 5, 8


@dataclass(frozen=True)
class EmojiOptions:
    """Options of `data: {name: emoji}`; needs the extra `emoji` to draw."""

    sets: tuple[str, ...] = SETS
    jitter: float = 0.06  # shift of up to this share of the short side, scale of 1 +- this; above 0.1 frames cut
    hue: float = 0.5  # hues are turned by up to this share of the colour circle either way; 0.5 is any hue
    train_draws: int = 4  # images of each emoji of the training split; the other splits have one
    validation_share: float = 0.05  # of the names (not exactly of the images)
    test_share: float = 0.2
    seed: int = 0

    def check(self) -> None:
        """Raises UserError for unknown sets and values outside their range."""
        for name in self.sets:
            if name not in SETS:
                raise unknown("set of emoji", name, SETS)
        if not self.sets or len(set(self.sets)) != len(self.sets):
            raise UserError("data.sets needs at least one set, each named once")
        if not 0 <= self.jitter <= 0.25:
            raise UserError(f"data.jitter must lie between 0 and 0.25, not {self.jitter:g}")
        if not 0 <= self.hue <= 0.5:
            raise UserError(f"data.hue must lie between 0 and 0.5, not {self.hue:g}")
        if not 1 <= self.train_draws <= 1000:
            raise UserError(f"data.train_draws must lie between 1 and 1,000, not {self.train_draws}")
        if min(self.validation_share, self.test_share) < 0.01 or self.validation_share + self.test_share > 0.9:
            raise UserError("data.validation_share and data.test_share must be at least 0.01 and their sum at most 0.9")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"data.seed must lie between 0 and 2**31 - 1, not {self.seed}")

    def build(self) -> EmojiImages:
        return EmojiImages(self)


class EmojiImages:
    """Drawn emoji; the label is the category, whose shares are those of the sets.

    Splits are by name: an emoji, its twins in the other sets and what differs from it by colour, direction or hour only
    are on one side. Any consecutive images of a split show all categories as often as the split does (subsets.py).
    """

    channels = 3

    def __init__(self, options: EmojiOptions) -> None:
        options.check()
        self.options = options
        chosen = [emoji for emoji in packed().emoji if emoji.set in options.sets]
        self.class_names = tuple(sorted({emoji.category for emoji in chosen}))
        self.num_classes = len(self.class_names)
        self._emoji: dict[Split, list[Emoji]] = {}
        self._labels: dict[Split, np.ndarray] = {}
        number_of = {name: at for at, name in enumerate(self.class_names)}
        shares = (options.validation_share, options.test_share)
        for split in SPLITS:
            here = [emoji for emoji in chosen if split_of(emoji.group, *shares) == split]
            order = mixed_order([e.category for e in here], [f"{e.set} {e.name}" for e in here])
            self._emoji[split] = [here[at] for at in order]
            self._labels[split] = np.array([number_of[e.category] for e in self._emoji[split]], dtype=np.int64)

    @cached_property
    def revision(self) -> str:
        text = json.dumps([asdict(self.options), packed().digest, RESVG], sort_keys=True)
        return f"emoji-v{VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def summary(self) -> str:
        """What there is, in one line."""
        sizes = ", ".join(f"{split} {self.size(split):,}" for split in SPLITS)
        total, sets = sum(map(len, self._emoji.values())), len(self.options.sets)
        left_out: Counter[str] = Counter()
        for source in packed().sources:
            if source.set in self.options.sets:
                left_out.update(source.left_out)
        return (
            f"{total:,} emoji of {sets} {'set' if sets == 1 else 'sets'} in {self.num_classes} classes: {sizes} "
            f"(training emoji {self.options.train_draws} times); left out: "
            + ", ".join(f"{number:,} {reason}" for reason, number in left_out.items())
        )

    def size(self, split: Split) -> int:
        """Images of a split."""
        return len(self._emoji[split]) * (self.options.train_draws if split == "train" else 1)

    def labels(self, split: Split, indices: np.ndarray) -> np.ndarray:
        """Class labels, int64 [B]."""
        labels: np.ndarray = self._labels[split][self._places(split, indices)]
        return labels

    def emoji(self, split: Split, indices: np.ndarray) -> list[Emoji]:
        """What the images show."""
        return [self._emoji[split][place] for place in self._places(split, indices)]

    def images(self, split: Split, indices: np.ndarray, resolution: Size) -> np.ndarray:
        """Drawn images, uint8 [B, 3, height, width]. Raises UserError where the renderer is missing."""
        if min(resolution) < 1:
            raise UserError(f"a resolution needs at least one pixel per axis, not {resolution[0]}x{resolution[1]}")
        shown, o = self.emoji(split, indices), self.options
        drawn = uniform(o.seed, split, np.asarray(indices, dtype=np.int64), _SLOTS)
        images = np.empty((len(shown), self.channels, *resolution), dtype=np.uint8)
        for at, (emoji, u) in enumerate(zip(shown, drawn.tolist(), strict=True)):
            red, green, blue = (int(256 * value) for value in u[_GROUND:_SLOTS])
            view = View(
                extent=EXTENT * (1 + o.jitter * (2 * u[_EXTENT] - 1)),
                y=o.jitter * (2 * u[_Y] - 1),
                x=o.jitter * (2 * u[_X] - 1),
                mirrored=u[_MIRROR] < 0.5,
                hue=2 * math.pi * o.hue * (2 * u[_HUE] - 1),
                ground=(red, green, blue),
            )
            images[at] = draw(emoji, view, resolution)
        return images

    def _places(self, split: Split, indices: np.ndarray) -> np.ndarray:
        return checked(indices, self.size(split), f"the {split} split of these emoji") % len(self._emoji[split])
