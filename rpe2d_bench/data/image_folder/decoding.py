"""One image file to pixels, by one policy for every reader: what is converted is told, what cannot be right is refused.

Upright as EXIF says; the first image of several; 16 bits a channel rounded to 8 as x / 257; transparency composited on
white; palettes, CMYK and other colour spaces to RGB by Pillow; colour profiles are not applied.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from rpe2d_bench.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
# Images that people have and that are refused by name, since leaving them out would change the set in silence.
UNREADABLE = (
    ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".psd", ".svg", ".eps", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef",
    ".arw", ".raw", ".tga", ".pcx", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".dcm",
)  # fmt: skip
Image.init()  # all of Pillow's formats; others than these are not tried
FORMATS: list[str] = [
    name for name in ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF") if name in Image.OPEN
]
MAX_PIXELS = 2**26  # 8192 x 8192: Pillow holds 4 bytes of each, and a conversion holds two images
_UPRIGHT = (None, 0, 1)  # values of EXIF's orientation that ask for nothing
_ORIENTATION = 0x0112
_SWAPPED = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}  # the other order of two bytes
_DEPTH_USED = 2**12  # a 16-bit image whose brightest level is below this holds 12 bits or fewer, or is almost black

Deep = Literal["scale", "refuse"]


@dataclass(frozen=True)
class Decoded:
    """An upright image of 8 bits in mode L or RGB, and what was converted on the way, in words."""

    image: Image.Image
    notes: tuple[str, ...] = ()


def read_image(content: bytes, where: str, deep: Deep = "scale", bits: int | None = None) -> Decoded:
    """One file's content as an image; `deep` says what becomes of more than 8 bits a channel.

    `bits` of 16-bit files are used, by default 16. Raises UserError, which begins with `where`, for what is no image,
    is damaged, has more than MAX_PIXELS, 32 bits or floating-point numbers, or, where `bits` is not given, 16 bits of
    which no more than 12 are used: then the brightest level is unknown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; what matters is refused below
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                return _decoded(opened, content, where, deep, bits)
    except UnidentifiedImageError:
        head = "is empty" if not content else "is no image of a kind that can be decoded, although it is named like one"
        raise UserError(f"{where} {head}; replace or remove it") from None
    except Image.DecompressionBombError:
        raise _too_large(where, "more") from None
    except MemoryError:
        raise UserError(f"{where} cannot be decoded: the memory does not suffice; make it smaller") from None
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError) as error:
        raise UserError(f"{where} cannot be decoded ({error}); repair or remove it") from None


def _too_large(where: str, size: str) -> UserError:
    return UserError(f"{where} has {size} pixels than the {MAX_PIXELS:,} that are read; make it smaller or remove it")


def _decoded(opened: Image.Image, content: bytes, where: str, deep: Deep, bits: int | None) -> Decoded:
    width, height = opened.size  # of the header: nothing is decoded yet
    if width * height > MAX_PIXELS:
        raise _too_large(where, f"{height}x{width}, more")
    notes, is_deep = [], _is_deep(opened)  # before EXIF is asked for, which may decode the image
    if int(getattr(opened, "n_frames", 1)) > 1:
        opened.seek(0)
        kind = "MPO" if opened.format == "MPO" else "animations and files of several images"
        notes.append(f"{kind}: the first image taken")
    if opened.getexif().get(_ORIENTATION) not in _UPRIGHT:
        notes.append("turned upright as EXIF says")
    if (profile := opened.info.get("icc_profile")) and b"sRGB" not in profile and b"s\0R\0G\0B" not in profile:
        notes.append("colour profile not applied: read as sRGB")
    if is_deep:
        if deep == "refuse":
            raise UserError(
                f"{where} has more than 8 bits a channel; save it with 8: metrics count in 256 levels, and how the "
                "others were rounded would be measured, too"
            )
        image = _scaled(opened, content, where, bits)
        notes.append(f"{bits or 16} bits a channel rounded to 8")
    else:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode in ("I", "F"):
        raise UserError(f"{where} has floating-point or 32-bit pixels; save it with 8 or 16 bits")
    return _plain(image, notes)


def _plain(image: Image.Image, notes: list[str]) -> Decoded:
    """Mode L or RGB, without transparency."""
    if image.has_transparency_data:
        grey = image.mode in ("L", "LA", "1")
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] == 255:
            notes.append("opaque alpha channel dropped")
        else:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            notes.append("transparency composited on white")
        return Decoded(image.convert("RGB").convert("L") if grey else image.convert("RGB"), tuple(notes))
    if image.mode in ("RGB", "L"):
        return Decoded(image, tuple(notes))
    if image.mode == "1":
        return Decoded(image.convert("L"), (*notes, "two levels made 0 and 255"))
    words = {"P": "palette", "PA": "palette"}.get(image.mode, image.mode)
    return Decoded(image.convert("RGB"), (*notes, f"{words} converted to RGB"))


def _is_deep(opened: Image.Image) -> bool:
    return opened.mode.startswith("I;16") or any(";16" in str(tile[3]) for tile in getattr(opened, "tile", ()))


def _scaled(opened: Image.Image, content: bytes, where: str, bits: int | None) -> Image.Image:
    """16 bits a channel to 8, rounded, upright."""
    if "transparency" in opened.info:
        raise UserError(f"{where} has 16 bits a channel and a transparent colour; save it with 8 bits")
    if opened.mode.startswith("I;16"):
        opened.load()
        image = ImageOps.exif_transpose(opened)
        return Image.fromarray(_rounded(np.asarray(image), where, bits))
    levels = _levels(opened, content, where)
    colours = levels.shape[2] - (levels.shape[2] in (2, 4))  # without alpha, which uses all bits
    parts = (_rounded(levels[..., :colours], where, bits), _rounded(levels[..., colours:], where, 16))
    image = Image.fromarray(np.concatenate(parts, axis=2), {2: "LA", 3: "RGB", 4: "RGBA"}[levels.shape[2]])
    turned = _transposition(content)
    return image if turned is None else image.transpose(turned)


def _levels(opened: Image.Image, content: bytes, where: str) -> np.ndarray:
    """Colour of 16 bits, uint16 [H, W, channels], as it lies in the file.

    Pillow has no such mode and keeps the upper byte of each number; read once more with the bytes' order swapped, the
    same decoder gives the lower ones.
    """
    upper = _read_as(content, None)
    raw = {_raw(tile) for tile in upper.tile}
    if raw == {"LA;16B"}:  # grey and alpha are four bytes: what RGBA of 8 bits is
        four = np.asarray(_read_as(content, "RGBA"))[..., :4].astype(np.uint16)
        return four[..., 0::2] * 256 + four[..., 1::2]
    if raw <= {f"{mode};16{order}" for mode in ("RGB", "RGBA") for order in "BLN"} and len(raw) == 1:
        name = raw.pop()
        lower = _read_as(content, name[:-1] + _SWAPPED[name[-1]])
        both: np.ndarray = np.asarray(upper).astype(np.uint16) * 256 + np.asarray(lower)
        return both
    raise UserError(f"{where} has 16 bits a channel in a layout that cannot be read ({opened.mode}); save it with 8")


def _raw(tile: ImageFile._Tile) -> str:
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _read_as(content: bytes, raw: str | None) -> ImageFile.ImageFile:
    """The file opened anew, its pixels to be unpacked by another of Pillow's raw modes."""
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    if raw is not None:
        image.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
        ]
    return image


def _transposition(content: bytes) -> Image.Transpose | None:
    """How a file that is no TIFF (whose reader does it) has to be turned."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
        if opened.format == "TIFF":
            return None
        return {
            2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90,
        }.get(opened.getexif().get(_ORIENTATION, 1))  # fmt: skip


def _rounded(levels: np.ndarray, where: str, bits: int | None) -> np.ndarray:
    """0 .. 2**bits - 1 to 0 .. 255, rounded; 65535 / 255 = 257."""
    brightest, most = int(levels.max(initial=0)), 2 ** (bits or 16) - 1
    if bits is None and 0 < brightest < _DEPTH_USED:
        raise UserError(
            f"{where} has 16 bits but no level above {brightest}: fewer bits in a 16-bit file, or almost black; write "
            "data.bits: 12 (or 16, if it is so dark), or save it with 8"
        )
    if brightest > most:
        raise UserError(f"{where} has the level {brightest}, more than data.bits: {bits} have; write 16")
    rounded: np.ndarray = (levels.astype(np.uint32) * 510 + most) // (2 * most)
    return rounded.astype(np.uint8)
