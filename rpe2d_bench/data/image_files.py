"""Files of a folder or a zip, by name; and one file to an array of pixels."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rpe2d_bench.data.interface import Resolution
from rpe2d_bench.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")


class Files(Protocol):
    """Named files that can be read; names use '/'."""

    path: Path

    def names(self) -> list[str]: ...

    def checksums(self, names: Sequence[str]) -> Iterator[int]:
        """CRC-32 of the content of each file."""

    def read(self, names: Sequence[str]) -> Iterator[bytes]: ...


class Folder:
    """Files below a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        return sorted(p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file())

    def checksums(self, names: Sequence[str]) -> Iterator[int]:
        return (zlib.crc32(content) for content in self.read(names))

    def read(self, names: Sequence[str]) -> Iterator[bytes]:
        for name in names:
            try:
                yield (self.path / name).read_bytes()
            except OSError as error:
                raise UserError(f"data: {self.path / name} cannot be read ({error.strerror})") from None


class Zip:
    """Files of a zip, read without unpacking it; the archive itself holds the checksums."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as archive:
            self._checksums = {item.filename: item.CRC for item in archive.infolist() if not item.is_dir()}

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"data: {self.path} cannot be opened as a zip ({error})") from None

    def names(self) -> list[str]:
        return sorted(self._checksums)

    def checksums(self, names: Sequence[str]) -> Iterator[int]:
        return (self._checksums[name] for name in names)

    def read(self, names: Sequence[str]) -> Iterator[bytes]:
        with self._open() as archive:
            for name in names:
                try:
                    yield archive.read(name)
                except (OSError, zipfile.BadZipFile, zlib.error) as error:
                    raise UserError(f"data: {name} in {self.path} cannot be read ({error})") from None


def open_files(path: Path) -> Files:
    """A folder or a zip; UserError when there is neither."""
    if path.is_dir():
        return Folder(path)
    if path.is_file():
        return Zip(path)
    raise UserError(f"data.path: {path} does not exist; give a folder or a zip of CLASS/ID.ext")


def decode(content: bytes, name: str) -> Image.Image:
    """One picture as RGB, turned as its EXIF data say, the first frame of several, transparency on white."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()
            picture = ImageOps.exif_transpose(opened)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(
            f"data: {name} is not a picture that can be decoded ({error}); replace or remove the file"
        ) from None
    if picture.mode.startswith(("I", "F")):
        if picture.mode == "F" or np.asarray(picture).max(initial=0) > 65535:
            raise UserError(f"data: {name} has floating-point or 32-bit pixels; convert it to 8 or 16 bits")
        # 16 bits per pixel: Pillow's own conversion would clip at 255 instead of scaling
        picture = Image.fromarray((np.asarray(picture).astype(np.float64) / 257).round().astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def fit(picture: Image.Image, resolution: Resolution, channels: int, name: str, *, upscale: bool) -> np.ndarray:
    """The centred square (or the centred band of it) at the resolution, uint8 [channels, height, width].

    Pillow's antialiased bicubic filter. UserError when the picture has fewer pixels than asked for, unless upscale.
    """
    height, width = resolution
    side = min(picture.size)
    wide, tall = side * min(1.0, width / height), side * min(1.0, height / width)
    if (tall < height - 0.5 or wide < width - 0.5) and not upscale:
        raise UserError(
            f"data: {name} is {picture.height}x{picture.width} px, too small for {height}x{width} px; remove it, lower "
            "the resolution or set data.upscale: true"
        )
    left, top = (picture.width - wide) / 2, (picture.height - tall) / 2
    box = (left, top, left + wide, top + tall)
    resized = picture.resize((width, height), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(resized if channels == 3 else resized.convert("L"))
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)
