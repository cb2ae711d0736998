"""Anybody's pictures as a stream of uint8 batches: a folder, a zip, or an ADM-style .npz with `arr_0`.

Nothing is dropped in silence: what was converted or ignored is counted in `notes`, what cannot be used is an error
that names the file.

Shapes: N pictures, C channels, H and W pixels.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile, ZipFile

import numpy as np
from PIL import Image, UnidentifiedImageError

from rpe2d_bench.errors import UserError
from rpe2d_bench.npz import header, rows

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


class PictureSource(Protocol):
    """A set of pictures that is read once, in a fixed order."""

    count: int
    notes: Counter[str]  # what was converted or ignored, in words, and how often
    sizes: Counter[tuple[int, int]]  # filled while reading

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[np.ndarray]:
        """uint8 [N, C, H, W] of one size each, N <= batch_size, in order; at most `limit` pictures."""
        ...


def open_pictures(path: Path) -> PictureSource:
    """The pictures at a path; raises UserError where there are none."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        names = [p.relative_to(path).as_posix() for p in files]
        return PictureFiles(path, names, lambda name: (path / name).read_bytes())
    if not path.exists():
        raise UserError(f"no pictures at {path}: it does not exist; give a folder, a .zip or an .npz")
    if path.suffix == ".npz":
        return PictureArray(path)
    if path.suffix == ".zip":
        try:
            archive = ZipFile(path)
        except (BadZipFile, OSError) as error:
            raise UserError(f"{path} is not a readable zip ({error})") from error
        names = sorted(n for n in archive.namelist() if not n.endswith("/") and not Path(n).name.startswith("."))
        return PictureFiles(path, names, archive.read)
    raise UserError(f"{path} is neither a folder, nor a .zip, nor an .npz; put the pictures into one of these")


class PictureFiles:
    """Pictures that are files of a folder or entries of a zip, in the order of their names."""

    def __init__(self, path: Path, names: list[str], read: Callable[[str], bytes]) -> None:
        self.path, self._read = path, read
        self.names = [name for name in names if Path(name).suffix.lower() in SUFFIXES]
        self.count = len(self.names)
        self.notes: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        ignored = Counter(Path(name).suffix.lower() or Path(name).name for name in names)
        for suffix, number in ignored.items():
            if suffix not in SUFFIXES:
                self.notes[f"ignored, not a picture ({suffix})"] += number
        if not self.names:
            kinds = ", ".join(sorted(SUFFIXES))
            raise UserError(f"no pictures in {path}: none of its {len(names)} files ends in {kinds}")

    def chosen(self, names: list[str]) -> PictureFiles:
        """Some of the pictures, in the order given."""
        return PictureFiles(self.path, names, self._read)

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[np.ndarray]:
        batch: list[np.ndarray] = []
        for name in self.names[:limit]:
            picture = self._picture(name)
            self.sizes[picture.shape[1], picture.shape[2]] += 1
            if batch and (len(batch) == batch_size or batch[0].shape != picture.shape):
                yield np.stack(batch)
                batch = []
            batch.append(picture)
        if batch:
            yield np.stack(batch)

    def _picture(self, name: str) -> np.ndarray:
        """One file as uint8 [C, H, W] with 1 or 3 channels."""
        where = f"{self.path}/{name}"
        try:
            with Image.open(io.BytesIO(self._read(name))) as opened:
                opened.load()
                picture = self._three_channels(opened, where)
        except UnidentifiedImageError as error:
            raise UserError(f"{where} is not a picture although it is named like one; repair or remove it") from error
        except (OSError, SyntaxError, ValueError, BadZipFile, Image.DecompressionBombError) as error:
            raise UserError(f"{where} cannot be read ({error}); repair or remove it") from error
        array = np.asarray(picture)
        return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)

    def _three_channels(self, picture: Image.Image, where: str) -> Image.Image:
        if getattr(picture, "n_frames", 1) > 1:
            raise UserError(f"{where} has {picture.n_frames} frames; save one picture a file")  # type: ignore[attr-defined]
        if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
            raise UserError(f"{where} has more than 8 bits a channel; save it with 8, as metrics count in 256 levels")
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            if picture.getchannel("A").getextrema()[0] != 255:
                raise UserError(f"{where} is transparent in places; flatten it on the background it belongs to")
            self.notes["opaque alpha channel dropped"] += 1
            return picture.convert("RGB")
        if picture.mode in ("RGB", "L"):
            return picture
        self.notes[f"{picture.mode} converted to RGB"] += 1
        return picture.convert("RGB")


class PictureArray:
    """`arr_0` of an .npz: uint8 [N, H, W, C] as the ADM evaluator reads it, streamed without loading it whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = ZipFile(path)
            shape, fortran, dtype = header(self._archive, "arr_0")
        except KeyError as error:
            names = ", ".join(Path(name).stem for name in self._archive.namelist())
            raise UserError(f"{path} holds no 'arr_0' but {names}; write it with np.savez(path, pictures)") from error
        except (BadZipFile, OSError, ValueError) as error:
            raise UserError(f"{path} is not a readable .npz ({error})") from error
        hint = "; scale to 0..255, round and clip (NaN has no grey level)" if dtype.kind == "f" else ""
        if dtype != np.uint8 or fortran or len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape:
            raise UserError(
                f"arr_0 of {path} is {dtype} {shape}; expected uint8 [N, H, W, C] with 1 or 3 channels{hint}"
            )
        self.count, self._shape = shape[0], shape[1:]
        self.notes: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()

    @property
    def labels(self) -> np.ndarray | None:
        """`arr_1`, the class of each picture, where the file has it."""
        if "arr_1.npy" not in self._archive.namelist():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                labels = np.asarray(stored["arr_1"])
        except (ValueError, OSError, BadZipFile) as error:
            raise UserError(f"arr_1 of {self.path} cannot be read as labels ({error}); write integers") from error
        if labels.dtype.kind not in "iu" or labels.shape != (self.count,):
            raise UserError(
                f"arr_1 of {self.path} is {labels.dtype} {labels.shape}; expected one class number for each of the "
                f"{self.count} pictures"
            )
        return labels.astype(np.int64)

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[np.ndarray]:
        batches = rows(self._archive, "arr_0", batch_size, limit)
        while True:
            try:
                batch_NHWC = next(batches, None)
            except (BadZipFile, OSError, EOFError) as error:
                raise UserError(f"{self.path} is damaged ({error}); write it again") from error
            if batch_NHWC is None:
                return
            self.sizes[self._shape[0], self._shape[1]] += len(batch_NHWC)
            yield batch_NHWC.transpose(0, 3, 1, 2).copy()
