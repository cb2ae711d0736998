"""Named files: what every container of images gives, and folders and zips; and an image cut to a resolution."""

from __future__ import annotations

import errno
import os
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from rpe2d_bench.data.image_folder.zip_index import METHODS, UNREADABLE_ZIP, Archive, opened
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Size

MAX_BYTES = 2**29  # of one file, unpacked: an image of MAX_PIXELS with 16 bits fits


@dataclass(frozen=True)
class Entries:
    """What lies in a container; names use '/' and are sorted."""

    files: list[str]
    folders: list[str]
    broken: list[str] = field(default_factory=list)  # links that lead nowhere
    circular: list[str] = field(default_factory=list)  # links to themselves, or to what they or this container lie in
    repeated: list[str] = field(default_factory=list)  # folders that are read under another name
    special: list[str] = field(default_factory=list)  # neither file nor folder: sockets, pipes, devices


class Files(Protocol):
    """Named files that can be read, by several threads at once."""

    path: Path

    def entries(self) -> Entries: ...

    def check(self, names: Sequence[str]) -> None:
        """Raises UserError, without reading them, where one of the files cannot be read."""

    def checksums(self, names: Sequence[str]) -> Iterator[int]:
        """CRC-32 of the content of each file."""

    def read(self, names: Sequence[str]) -> Iterator[bytes]: ...


class Folder:
    """Files below a folder; links are followed, as subsets of large sets are made of them.

    Every folder is read once: as itself where it lies below this one, otherwise by the first link to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> Entries:
        found, links = Entries([], []), deque[str]()
        root = self.path.resolve()
        around = {_identity(folder.stat()) for folder in (root, *root.parents)}
        read = set(around)  # what is around this folder is not read, but neither is it below a link
        self._walk(self.path, "", read, links, found)
        while links:
            link = self.path / (name := links.popleft())
            here = _identity(link.stat())
            if here in around or link.parent.resolve().is_relative_to(link.resolve()):
                found.circular.append(name)
            elif here in read:
                found.repeated.append(name)
            else:
                read.add(here)
                found.folders.append(name)
                self._walk(link, f"{name}/", read, links, found)
        for names in vars(found).values():
            names.sort()
        return found

    def _walk(self, folder: Path, prefix: str, read: set[tuple[int, int]], links: deque[str], found: Entries) -> None:
        """Real folders at once; `links` to others wait, so that a folder is read as itself if it can be."""
        try:
            with os.scandir(folder) as listed:
                inside = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"{folder} cannot be read ({error.strerror})") from None
        for entry in inside:
            name, hidden = prefix + entry.name, entry.name.startswith(".")  # nothing in a hidden folder is used
            try:
                if entry.is_file():
                    found.files.append(name)
                elif not entry.is_dir():
                    dangling = entry.is_symlink() and not Path(entry.path).exists()
                    (found.broken if dangling else found.special).append(name)
                elif hidden:
                    found.folders.append(name)
                elif entry.is_symlink():
                    links.append(name)
                elif (here := _identity(entry.stat())) in read:  # below a link, and another link led into it before
                    found.repeated.append(name)
                else:
                    read.add(here)
                    found.folders.append(name)
                    self._walk(folder / entry.name, f"{name}/", read, links, found)
            except OSError as error:
                (found.circular if error.errno == errno.ELOOP else found.broken).append(name)

    def check(self, names: Sequence[str]) -> None:
        """Nothing to find out before reading."""

    def checksums(self, names: Sequence[str]) -> Iterator[int]:
        return (zlib.crc32(content) for content in self.read(names))

    def read(self, names: Sequence[str]) -> Iterator[bytes]:
        for name in names:
            path = self.path / name
            try:
                if path.stat().st_size > MAX_BYTES:
                    raise too_large(f"{path}", path.stat().st_size)
                yield path.read_bytes()
            except OSError as error:
                raise UserError(f"{path} cannot be read ({error.strerror})") from None


def _identity(status: os.stat_result) -> tuple[int, int]:
    """What two names of one folder have in common."""
    return status.st_dev, status.st_ino


class Zip:
    """Files of a zip, read without unpacking it; the archive itself holds the checksums."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive()

    def _archive(self) -> Archive:
        """Opened once a process and content: a child that was forked must not share the parent's place in the file."""
        try:
            status = self.path.stat()
            return opened(str(self.path.resolve()), status.st_mtime_ns, status.st_size, os.getpid())
        except (*UNREADABLE_ZIP, NotImplementedError) as error:
            raise UserError(
                f"{self.path} cannot be opened as a zip ({error}); if it was copied or downloaded, do that again"
            ) from None

    def entries(self) -> Entries:
        archive = self._archive()
        return Entries(sorted(archive.files), sorted(archive.folders), sorted(archive.links))

    def check(self, names: Sequence[str]) -> None:
        archive, methods = self._archive(), set()
        for name in names:
            item = archive.files[name]
            self._check(name, item)
            if item.compress_type not in methods:
                methods.add(item.compress_type)
                try:
                    archive.zip.open(item).close()
                except (*UNREADABLE_ZIP, NotImplementedError) as error:
                    raise self._unreadable(name, item, error) from None

    def _check(self, name: str, item: zipfile.ZipInfo) -> None:
        if item.flag_bits & 0x41:  # encrypted, or strongly so
            raise UserError(f"{name} in {self.path} is encrypted; unpack it and zip it without a password")
        if item.file_size > MAX_BYTES:
            raise too_large(f"{name} in {self.path}", item.file_size)

    def checksums(self, names: Sequence[str]) -> Iterator[int]:
        files = self._archive().files
        return (files[name].CRC for name in names)

    def read(self, names: Sequence[str]) -> Iterator[bytes]:
        archive = self._archive()
        for name in names:
            item = archive.files[name]
            self._check(name, item)
            try:
                content = archive.zip.read(item)
            except (*UNREADABLE_ZIP, NotImplementedError) as error:
                raise self._unreadable(name, item, error) from None
            yield content

    def _unreadable(self, name: str, item: zipfile.ZipInfo, error: BaseException) -> UserError:
        if isinstance(error, NotImplementedError) or item.compress_type in METHODS:
            method = METHODS.get(item.compress_type, f"method {item.compress_type}")
            return UserError(
                f"{name} in {self.path} is compressed with {method}, which cannot be read here; unpack it and zip "
                "it again, best without compression: zip -0 -r"
            )
        return UserError(f"{name} in {self.path} cannot be read ({error or type(error).__name__})")


def too_large(where: str, size: int) -> UserError:
    """What is said of a file that is larger than any image can be."""
    return UserError(
        f"{where} holds {size / 2**30:.1f} GiB unpacked; one image has at most {MAX_BYTES // 2**20} MiB here"
    )


def fit(image: Image.Image, resolution: Size, channels: int, name: str, *, upscale: bool) -> np.ndarray:
    """The centred square (or the centred band of it) at the resolution, uint8 [channels, height, width].

    Pillow's antialiased bicubic filter. UserError when the image has fewer pixels than asked for, unless upscale.
    """
    height, width = resolution
    side = min(image.size)
    wide, tall = side * min(1.0, width / height), side * min(1.0, height / width)
    if (tall < height - 0.5 or wide < width - 0.5) and not upscale:
        raise UserError(
            f"{name} is {image.height}x{image.width} px, too small for {height}x{width} px; remove it, lower "
            "the resolution or set data.upscale: true"
        )
    left, top = (image.width - wide) / 2, (image.height - tall) / 2
    box = (left, top, left + wide, top + tall)
    resized = image.resize((width, height), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(resized if channels == 3 else resized.convert("L"))
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)
