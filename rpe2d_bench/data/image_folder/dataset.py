"""Photographs from a folder, a zip, tar shards or parquet, split so that no source is on two sides.

Every image is cut to its centred square; frames that are not square show the centred band of that square. One
antialiased filter makes every resolution from the file itself. Nothing is left out in silence: what is no image is
counted in `summary`, what was converted in `conversions`, and what cannot be decoded or is too small is an error that
names the file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from rpe2d_bench.data.absent import AbsentFolder
from rpe2d_bench.data.image_folder.containers import open_files, present
from rpe2d_bench.data.image_folder.decoding import read_image
from rpe2d_bench.data.image_folder.files import Files, fit
from rpe2d_bench.data.image_folder.listing import Arranged, account, arrange, sift
from rpe2d_bench.data.interface import SPLITS, Split
from rpe2d_bench.data.subsets import checked, mixed_order, split_of
from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.resolution import Size

VERSION = 2  # of splitting, order, decoding and resizing; raise it when a pixel or a split changes


@dataclass(frozen=True)
class ImageFolderOptions:
    """Options of `data: {name: image_folder, path: ...}`."""

    path: str  # a folder, a zip, or .tar or .parquet shards: a file, a folder of them, `shards/{00000..00099}.tar`
    labels: str | None = None  # a CSV file in the folder, with a column `image` of file names or stems
    split_by: str | None = None  # its column that says what must not be on two sides; without it the file's stem
    validation_share: float = 0.1  # of the sources (not exactly of the images)
    test_share: float = 0.2
    channels: Literal[1, 3] = 3
    flip: bool = False  # the training split holds every image twice, the second time mirrored
    bits: int | None = None  # that 16-bit files use; by default 16, and files that use 12 or fewer are refused
    upscale: bool = False  # allow images smaller than a resolution
    classes: int | None = None  # expected number; with `files`, `plan` can count before the images are there
    files: int | None = None  # expected number of images in all splits, without mirrored ones

    def check(self) -> None:
        """Raises UserError for a missing path and values that cannot work."""
        if not self._absent_folder:
            open_files(Path(self.path))
        if self.validation_share <= 0 or self.test_share <= 0 or self.validation_share + self.test_share >= 1:
            raise UserError("data.validation_share and data.test_share must be above 0 and their sum below 1")
        if self.bits is not None and not 8 < self.bits <= 16:
            raise UserError(f"data.bits is how many bits 16-bit files use: 9 to 16, not {self.bits}")
        if self.split_by is not None and self.labels is None:
            raise UserError("data.split_by names a column: give its file with data.labels")

    def build(self) -> ImageFolder | AbsentFolder:
        if not self._absent_folder:
            return ImageFolder(self)
        assert self.classes is not None
        assert self.files is not None
        test, validation = (round(self.files * share) for share in (self.test_share, self.validation_share))
        train = (self.files - test - validation) * (2 if self.flip else 1)
        sizes: dict[Split, int] = {"train": train, "validation": validation, "test": test}
        return AbsentFolder(self.path, self.channels, self.classes, sizes)

    @property
    def _absent_folder(self) -> bool:
        """Whether only the counts are known."""
        return None not in (self.classes, self.files) and not present(Path(self.path))


class ImageFolder:
    """Images of class folders; the class is the folder's name, classes are in alphabetical order.

    Within a split images have a mixed order (subsets.py), so that any consecutive ones show all classes as often as the
    split does.
    """

    threadable = True

    def __init__(self, options: ImageFolderOptions) -> None:
        options.check()
        self.options = options
        self.channels: int = options.channels
        self._files = open_files(Path(options.path))
        sifted = sift(self._files, () if options.labels is None else (options.labels,))
        arranged = arrange(sifted, options.path)
        names, classes = arranged.images, arranged.classes
        if not names:
            raise UserError(f"data.path: {options.path} has no images of the form CLASS/ID.ext")
        self.class_names = tuple(sorted(set(classes)))
        self.num_classes = len(self.class_names)
        for what, number, expected in (
            ("classes", self.num_classes, options.classes),
            ("files", len(names), options.files),
        ):
            if expected not in (None, number):
                raise UserError(
                    f"data.{what}: {expected} expected, {options.path} has {number}{account(arranged.left_out)}"
                )
        sides = _sides(_groups(self._files, names, options), arranged, options)
        self._names: dict[Split, list[str]] = {}
        self._labels: dict[Split, np.ndarray] = {}
        number_of = {name: at for at, name in enumerate(self.class_names)}
        for split in SPLITS:
            chosen = [at for at, side in enumerate(sides) if side == split]
            if not chosen:
                raise UserError(
                    f"data: none of the {len(names)} images in {options.path} falls into the {split} split; give "
                    "more images (or sources), or a larger share"
                )
            order = mixed_order([classes[at] for at in chosen], [names[at] for at in chosen])
            self._names[split] = [names[chosen[at]] for at in order]
            self._labels[split] = np.array([number_of[classes[chosen[at]]] for at in order], dtype=np.int64)
        self._arranged = arranged
        self._converted: dict[str, set[str]] = {}  # files by what was converted while decoding

    @property
    def summary(self) -> str:
        """What was found, in one line: classes, splits, and what was left out."""
        arranged, total = self._arranged, sum(map(len, self._names.values()))
        counts = np.bincount(np.concatenate(list(self._labels.values())))
        low, high = int(counts.min()), int(counts.max())
        printed = f"{total:,} images in {self.num_classes:,} {'class' if self.num_classes == 1 else 'classes'}"
        printed += f" of {low:,}" if low == high else f" of {low:,} to {high:,}"
        printed += ": " + ", ".join(f"{split} {len(names):,}" for split, names in self._names.items())
        printed += " (the set's own folders)" if arranged.splits is not None else ""
        if arranged.nested:
            printed += f"; {arranged.nested:,} in folders within their class's"
        untrained = np.setdiff1d(np.arange(self.num_classes), self._labels["train"])
        if len(untrained):
            some = ", ".join(self.class_names[at] for at in untrained[:3])
            more = ", ..." if len(untrained) > 3 else ""
            printed += f"; without an image in the train split: {some}{more}"
        return printed + account(arranged.left_out)

    @property
    def conversions(self) -> str:
        """What decoding has converted so far, in one line; empty where nothing was."""
        printed = sorted(f"{len(names):,} {what}" for what, names in self._converted.items())
        return f"of the images read so far: {'; '.join(printed)}" if printed else ""

    @cached_property
    def revision(self) -> str:
        """The same for a folder and the zip or shards of it: names, contents and options, not where they lie."""
        names = sorted(name for members in self._names.values() for name in members)
        options = {key: value for key, value in asdict(self.options).items() if key not in ("path", "classes", "files")}
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
        for name, checksum in zip(names, self._files.checksums(names), strict=True):
            digest.update(f"{name} {checksum:08x}\n".encode(errors="surrogateescape"))
        for split in SPLITS:  # the labels file decides who is where
            digest.update(hashlib.sha256("\n".join(self._names[split]).encode(errors="surrogateescape")).digest())
        return f"image_folder-v{VERSION}-{digest.hexdigest()[:16]}"

    def size(self, split: Split) -> int:
        """Images of a split; mirrored ones count."""
        return len(self._names[split]) * (2 if self._mirrors(split) else 1)

    def labels(self, split: Split, indices: np.ndarray) -> np.ndarray:
        """Class labels, int64 [B]."""
        labels: np.ndarray = self._labels[split][self._files_of(split, indices)]
        return labels

    def files(self, split: Split, indices: np.ndarray) -> list[str]:
        """Names of the files that the images come from."""
        return [self._names[split][i] for i in self._files_of(split, indices)]

    def mirrored(self, split: Split, indices: np.ndarray) -> np.ndarray:
        """Whether images are their files' mirrored, bool [B]."""
        mirrored: np.ndarray = np.asarray(indices) >= len(self._names[split])
        return mirrored

    def images(self, split: Split, indices: np.ndarray, resolution: Size) -> np.ndarray:
        """Decoded and resized images, uint8 [B, channels, height, width]."""
        names = self.files(split, indices)
        result = np.empty((len(names), self.channels, *resolution), dtype=np.uint8)
        for at, (name, content) in enumerate(zip(names, self._files.read(names), strict=True)):
            decoded = read_image(content, f"data: {name}", bits=self.options.bits)
            for note in decoded.notes:
                self._converted.setdefault(note, set()).add(name)
            image = decoded.image.convert("RGB")
            result[at] = fit(image, resolution, self.channels, name, upscale=self.options.upscale)
        if self._mirrors(split):
            mirrored = self.mirrored(split, indices)
            result[mirrored] = result[mirrored, :, :, ::-1]
        return result

    def _mirrors(self, split: Split) -> bool:
        return self.options.flip and split == "train"

    def _files_of(self, split: Split, indices: np.ndarray) -> np.ndarray:
        where = f"the {split} split of {self.options.path}"
        return checked(indices, self.size(split), where) % len(self._names[split])


def _groups(files: Files, names: list[str], options: ImageFolderOptions) -> dict[str, str]:
    """What must stay on one side, for each image."""
    if options.labels is None or options.split_by is None:
        return {name: PurePosixPath(name).stem for name in names}
    if options.labels not in files.entries().files:
        raise UserError(f"data.labels: {options.labels} is not in {files.path}")
    text = next(iter(files.read([options.labels]))).decode("utf-8-sig", errors="replace")
    reader = csv.DictReader(io.StringIO(text))
    for column in ("image", options.split_by):
        if column not in (reader.fieldnames or ()):
            raise unknown(f"column of {options.labels}", column, [str(f) for f in reader.fieldnames or ()])
    rows = {str(row["image"]): row[options.split_by] for row in reader}
    groups = {}
    for name in names:
        keys = (PurePosixPath(name).stem, PurePosixPath(name).name, name)
        key = next((k for k in keys if k in rows), None)
        if key is None or rows[key] in (None, ""):
            raise UserError(f"data: {name} has no {options.split_by} in {options.labels}")
        groups[name] = str(rows[key])
    return groups


def _sides(groups: dict[str, str], arranged: Arranged, options: ImageFolderOptions) -> list[Split]:
    """The split of each image: its folder's, where folders are splits; what has no folder is cut from train."""
    own = arranged.splits or ["train"] * len(arranged.images)
    names, cut = arranged.images, set(SPLITS) - set(own)
    drawn = (split_of(groups[name], options.validation_share, options.test_share) for name in names)
    return [new if old == "train" and new in cut else old for new, old in zip(drawn, own, strict=True)]
