"""Every kind of image file becomes the right pixels, or is refused by name; what was converted is told."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from rpe2d_bench.data.image_folder import decoding
from rpe2d_bench.data.image_folder.decoding import read_image
from rpe2d_bench.errors import UserError

RNG = np.random.default_rng(0)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def deep_png(levels: np.ndarray, colour: int, *chunks: bytes) -> bytes:
    """A PNG of 16 bits a channel, uint16 [H, W, C], every filter of the format in turn being 'none'."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    parts = [chunk(part[:4], part[4:]) for part in chunks]
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(parts) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep_tiff(levels: np.ndarray, order: str) -> bytes:
    """An uncompressed TIFF of 16 bits a channel in the given order of bytes, uint16 [H, W, 3]."""
    height, width, channels = levels.shape
    body = levels.astype(f"{order}u2").tobytes()
    depths = 8 + 2 + 12 * 9 + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, depths), (259, 3, 1, 1), (262, 3, 1, 2),
            (273, 4, 1, depths + 6), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(body))]  # fmt: skip
    out = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        out += struct.pack(
            f"{order}HHI" + ("HH" if short else "I"), tag, kind, count, *((value, 0) if short else (value,))
        )
    return out + struct.pack(f"{order}I3H", 0, 16, 16, 16) + body


def pixels(content: bytes, **options: Any) -> np.ndarray:
    return np.asarray(read_image(content, "x", **options).image)


@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (3, 2), (2, 4), (4, 6)])
def test_16_bits_are_rounded_not_cut(channels: int, colour: int) -> None:
    levels = RNG.integers(0, 65536, (9, 7, channels)).astype(np.uint16)
    if channels in (2, 4):
        levels[..., -1] = 65535
    kept = channels - (channels in (2, 4))
    decoded = read_image(deep_png(levels, colour), "x")
    expected = np.rint(levels[..., :kept] / 257).astype(np.uint8)
    assert np.array_equal(np.asarray(decoded.image).reshape(9, 7, kept), expected)
    assert decoded.notes[0] == "16 bits a channel rounded to 8"
    with pytest.raises(UserError, match="x has more than 8 bits a channel"):
        read_image(deep_png(levels, colour), "x", deep="refuse")


@pytest.mark.parametrize("order", "<>")
def test_16_bit_tiffs_are_rounded(order: str) -> None:
    levels = RNG.integers(0, 65536, (9, 7, 3)).astype(np.uint16)
    assert np.array_equal(pixels(deep_tiff(levels, order)), np.rint(levels / 257).astype(np.uint8))


def test_16_bits_lying_on_their_side() -> None:
    levels = RNG.integers(0, 65536, (9, 7, 3)).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = deep_png(levels, 2, b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0"))
    assert np.array_equal(pixels(content), np.rot90(np.rint(levels / 257).astype(np.uint8), -1))


def test_fewer_bits_in_a_16_bit_file_need_a_word() -> None:
    levels = np.linspace(0, 4095, 64).reshape(8, 8, 1).astype(np.uint16)
    with pytest.raises(UserError, match=r"no level above 4095.*write data\.bits: 12"):
        pixels(deep_png(levels, 0))
    assert np.array_equal(pixels(deep_png(levels, 0), bits=12), np.rint(levels[..., 0] / 4095 * 255))
    assert pixels(deep_png(levels, 0), bits=16).max() == 16
    with pytest.raises(UserError, match=r"level 4095, more than data\.bits: 10 have"):
        pixels(deep_png(levels, 0), bits=10)
    opaque = np.concatenate((levels, np.full_like(levels, 65535)), axis=2)
    with pytest.raises(UserError, match="no level above 4095"):
        pixels(deep_png(opaque, 4))
    assert pixels(deep_png(0 * levels, 0)).max() == 0  # black is black at any depth


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_exif_turns_images_upright(kind: str, orientation: int) -> None:
    upright = np.zeros((48, 32, 3), np.uint8)
    upright[:24, :16, 0], upright[:24, 16:, 1], upright[24:, :16, 2] = 255, 255, 255
    lying = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1), 7: np.rot90(upright, 2).transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    given: dict[str, Any] = {"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif}
    decoded = read_image(saved(Image.fromarray(np.ascontiguousarray(lying)), kind, **options, **given), "x")
    assert np.abs(np.asarray(decoded.image).astype(int) - upright).mean() < 12
    assert decoded.notes == (() if orientation == 1 else ("turned upright as EXIF says",))


def test_transparency_is_composited_on_white() -> None:
    colour = np.full((4, 4, 4), (10, 20, 30, 255), np.uint8)
    assert read_image(saved(Image.fromarray(colour), "PNG"), "x").notes == ("opaque alpha channel dropped",)
    colour[:2, :, 3], colour[2:, :, 3] = 0, 102
    decoded = read_image(saved(Image.fromarray(colour), "PNG"), "x")
    assert np.asarray(decoded.image)[0, 0].tolist() == [255, 255, 255]
    assert np.abs(np.asarray(decoded.image)[3, 0] - np.array([157, 161, 165])).max() <= 1  # 0.4 x + 0.6 255
    assert decoded.notes == ("transparency composited on white",)
    grey = Image.fromarray(np.full((4, 4, 2), (100, 0), np.uint8), "LA")
    assert (pixels(saved(grey, "PNG")) == 255).all()
    assert read_image(saved(grey, "PNG"), "x").image.mode == "L"
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    assert (pixels(saved(palette, "PNG", transparency=1)) == 255).all()
    keyed = Image.new("RGB", (4, 4), (1, 2, 3))
    assert (pixels(saved(keyed, "PNG", transparency=(1, 2, 3))) == 255).all()


def test_palettes_cmyk_two_levels_and_profiles_are_kept() -> None:
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    assert read_image(saved(red.quantize(4), "PNG"), "x").notes == ("palette converted to RGB",)
    decoded = read_image(saved(red.convert("CMYK"), "JPEG", quality=100), "x")
    assert np.abs(np.asarray(decoded.image).astype(int) - [255, 0, 0]).max() <= 3  # not the negative
    assert decoded.notes == ("CMYK converted to RGB",)
    assert set(pixels(saved(Image.new("1", (8, 8), 1), "PNG")).ravel()) == {255}
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert "colour profile not applied: read as sRGB" in read_image(saved(red, "PNG", icc_profile=lab), "x").notes
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_image(saved(red, "PNG", icc_profile=srgb), "x").notes == ()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG", "MPO"])
def test_the_first_of_several_images_is_taken_and_kept(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    decoded = read_image(saved(frames[0], kind, save_all=True, append_images=frames[1:]), "x")
    assert np.abs(np.asarray(decoded.image).astype(int) - [255, 0, 0]).max() <= 4
    assert "the first image taken" in decoded.notes[0]


def cut() -> bytes:
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    return saved(noise, "PNG")[:-2000]


def claiming(side: int) -> bytes:
    """A small PNG whose header claims so many pixels a side."""
    content = deep_png(np.zeros((1, 1, 3), np.uint16), 2).replace(
        struct.pack(">IIB", 1, 1, 16), struct.pack(">IIB", side, side, 8)
    )
    return content[:29] + struct.pack(">I", zlib.crc32(content[12:29])) + content[33:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "^x is empty"),
        (b"GIF is what I am not", "^x is no image of a kind"),
        (cut(), "^x cannot be decoded .image file is truncated"),
        (saved(Image.new("F", (4, 4), 0.5), "TIFF"), "^x has floating-point or 32-bit pixels"),
        (saved(Image.new("I", (4, 4), 70000), "TIFF"), "^x has floating-point or 32-bit pixels"),
        (saved(Image.new("RGB", (4, 4)), "PPM"), "^x is no image of a kind"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_image(content, "x")


def test_large_images_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("pixels were read"))
    with pytest.raises(UserError, match=r"pixels than the 67,108,864 that are read"):
        read_image(claiming(40000), "x")
    with pytest.raises(UserError, match=r"^x has 8200x8200, more pixels than"):
        read_image(claiming(8200), "x")
    assert decoding.MAX_PIXELS == 8192**2
