"""Samples as blocks of a page: strips of a few images, by method, test resolution and seed.

Which images are shown says chosen_images.py; as a figure for papers they are drawn by image_grid.py.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

from rpe2d_bench.analysis.vocabulary import scale_label, size_label
from rpe2d_bench.report.templating import data_uri, embedded
from rpe2d_bench.resolution import Size

# Legend: N images, C channels, H height, W width.
LOSSLESS_UP_TO = 96  # pixels; larger images are embedded as JPEG


@dataclass(frozen=True)
class Strip:
    """A few images of one method at one resolution."""

    labels: list[int]  # the classes that were asked for
    images_NCHW: np.ndarray  # uint8
    seen: list[int] | None = None  # the classes that a classifier sees, where one looked
    seed: int | None = None  # None: real images

    @property
    def image(self) -> Image.Image:
        """The images in a row, one pixel apart."""
        n, channels, height, width = self.images_NCHW.shape
        canvas = Image.new("L" if channels == 1 else "RGB", (n * (width + 1) - 1, height), (128,) * channels)
        for index, image_CHW in enumerate(self.images_NCHW):
            canvas.paste(sample_image(image_CHW), (index * (width + 1), 0))
        return canvas

    @property
    def wrong(self) -> list[int]:
        """Places of the images in which the classifier sees another class."""
        pairs = zip(self.labels, self.seen or self.labels, strict=True)
        return [place for place, (asked, seen) in enumerate(pairs) if asked != seen]


@dataclass(frozen=True)
class StripRow:
    """The strips of one method, by test resolution; `of`: which run, where two are shown."""

    name: str
    strips: dict[Size, Strip]
    method: str | None = None  # whose colour the row has
    of: str = ""
    more: tuple[dict[Size, Strip], ...] = ()  # of further seeds, which can be picked

    def windows(self, test: Size) -> list[dict[str, object]]:
        """What the page's template shows at one resolution, a window per seed."""
        return [self._window(test, strips[test]) for strips in (self.strips, *self.more) if test in strips]

    def _window(self, test: Size, strip: Strip) -> dict[str, object]:
        of = f" of {self.of}" if self.of else ""
        seen = "" if strip.seen is None else f", seen as {strip.seen}"
        return {
            "uri": image_uri(strip.image),
            # As wide as images of this size are: old records kept what is enlarged later at the size it was made in.
            "width": len(strip.labels) * (test[1] + 1) - 1,
            "alt": f"{self.name}{of} at {size_label(test)} px, classes {strip.labels}{seen}",
            "strip": strip,
        }


@dataclass(frozen=True)
class Strips:
    """Rows of images by test resolution, as a page shows them and as files."""

    name: str  # unique in the report; also the file name
    train: Size
    tests: list[Size]
    rows: list[StripRow]
    files: dict[str, bytes] = field(default_factory=dict)  # to download: format -> the figure for papers
    sheets: dict[str, bytes] = field(default_factory=dict)  # beside the page: file name -> PNG of one resolution
    zoom: float = 0.0  # of the page at first; 0: by the largest size
    classifier: str = ""  # whose eyes `Strip.seen` are

    @property
    def image(self) -> str | None:
        """The file that stands for the strips in Markdown."""
        return f"{self.name}.png" if "png" in self.files else None

    @property
    def downloads(self) -> dict[str, str]:
        return embedded(self.files)

    @property
    def alternative(self) -> str:
        return f"Samples of {', '.join(row.name for row in self.rows)}"

    @cached_property
    def labels(self) -> list[int]:
        return self._shown[-1].labels

    @property
    def sizes(self) -> list[dict[str, object]]:
        return [{"label": size_label(t), "scale": scale_label(t, self.train), "height": t[0], "width": t[1]}
                for t in self.tests]  # fmt: skip

    @property
    def start(self) -> int:
        """The first size above the train resolution."""
        return next((i for i, test in enumerate(self.tests) if max(test) > max(self.train)), 0)

    @property
    def first_zoom(self) -> float:
        largest = max(max(test) for test in self.tests)
        return self.zoom or (2 if largest <= 64 else 1 if largest <= 160 else 0.5)

    @property
    def cells(self) -> list[tuple[StripRow, list[list[dict[str, object]]]]]:
        """Rows with the windows of each size."""
        return [(row, [row.windows(test) for test in self.tests]) for row in self.rows]

    @cached_property
    def _shown(self) -> list[Strip]:
        return [strip for row in self.rows for strips in (row.strips, *row.more) for strip in strips.values()]

    @property
    def seeds(self) -> list[int]:
        """Whose samples can be picked; empty where there is no choice."""
        found = sorted({strip.seed for strip in self._shown if strip.seed is not None})
        return found if any(row.more for row in self.rows) else []

    @property
    def note(self) -> str:
        """What frames mean; nothing where no classifier looked."""
        looked = any(strip.seen is not None for strip in self._shown)
        return f"Framed: {self.classifier} sees another class than was asked for." if looked else ""


def sample_image(image_CHW: np.ndarray) -> Image.Image:
    """uint8 [1 or 3, H, W] -> a grey or an RGB image."""
    if image_CHW.shape[0] == 1:
        return Image.fromarray(image_CHW[0])
    return Image.fromarray(np.ascontiguousarray(image_CHW.transpose(1, 2, 0)))


def image_uri(image: Image.Image) -> str:
    """The image inside a page: PNG while small, JPEG above."""
    out = io.BytesIO()
    kind = "png" if image.height <= LOSSLESS_UP_TO else "jpeg"
    image.save(out, kind, **({"optimize": True} if kind == "png" else {"quality": 90}))
    return data_uri(out.getvalue(), f"image/{kind}")
