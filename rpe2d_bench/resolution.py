"""The size of an image: height first, in pixels; how it is read, printed, and cut into tokens."""

from __future__ import annotations

from typing import NamedTuple

from rpe2d_bench.errors import UserError

Size = tuple[int, int]  # the same two numbers as records, arrays and data sets have them; a Resolution is one

MOST_TOKENS = 2**18  # of one image: 512 x 512; attention over more takes hours an image


class Resolution(NamedTuple):
    """Pixels of an image. A tuple, so that JSON, content keys and arrays' shapes have it as [height, width]."""

    height: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Resolution:
        """Of '64' or '48x80'; raises UserError for anything else."""
        sides = text.lower().replace("×", "x").split("x")
        if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
            raise UserError(f"a resolution is written 48 or HEIGHTxWIDTH in pixels, for example 32x64; got {text!r}")
        return cls(int(sides[0]), int(sides[-1]))

    def __str__(self) -> str:
        """64 for a square, or 48x80."""
        return f"{self.height}" if self.height == self.width else f"{self.height}x{self.width}"

    @property
    def pixels(self) -> int:
        return self.height * self.width

    def tokens(self, patch: int, downsampling: int = 1) -> tuple[int, int]:
        """Tokens along each axis; downsampling: pixels of a side that an autoencoder makes one cell of."""
        side = patch * downsampling
        return self.height // side, self.width // side
