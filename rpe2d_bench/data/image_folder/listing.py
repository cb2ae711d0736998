"""Which files of a container are the images of a data set, of which class and split; the rest is counted.

Every kind of file is decided on here, once, for training and for measuring (docs/odd_inputs.md has the table).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rpe2d_bench.data.image_folder.decoding import EXTENSIONS, UNREADABLE
from rpe2d_bench.data.image_folder.files import Files
from rpe2d_bench.data.interface import Split
from rpe2d_bench.errors import UserError

SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
UNLABELLED = "unlabelled"  # the class of images that lie in no folder
_SYSTEM = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"})  # written by no user


@dataclass(frozen=True)
class Sifted:
    """Names of the images, sorted, and what was left out, in words with its number."""

    images: list[str]
    folders: list[str]
    left_out: Counter[str]


@dataclass(frozen=True)
class Arranged:
    """Images with their classes and, where the folders say so, their splits."""

    images: list[str]
    classes: list[str]  # of each image
    splits: list[Split] | None  # of each image; None where the folders name no splits
    left_out: Counter[str]
    nested: int  # images in folders within a class folder


def account(left_out: Counter[str]) -> str:
    """'; left out: 3 hidden files or folders', or nothing."""
    printed = [f"{number:,} {what if number != 1 else _singular(what)}" for what, number in left_out.items()]
    return f"; left out: {', '.join(printed)}" if printed else ""


def _singular(what: str) -> str:
    for many, one in (
        ("files that are no images", "file that is no image"),
        ("hidden files or folders", "hidden file or folder"),
        ("links that lead", "link that leads"),
        ("folders that are read", "folder that is read"),
        ("images beside", "image beside"),
        ("folders without", "folder without"),
    ):
        what = what.replace(many, one)
    return what


def sift(files: Files, used: Iterable[str] = ()) -> Sifted:
    """The images among the files; `used` are files that serve another purpose, such as a list of labels.

    Hidden files and folders, links that lead nowhere or in a circle, what is read under another name and files that are
    no images are left out and counted. Raises UserError for images of a kind that cannot be read, and where there is no
    image at all.
    """
    entries, left_out = files.entries(), Counter[str]()
    hidden = {top for name in (*entries.files, *entries.folders) if (top := _hidden(name))}
    images, foreign, others = [], [], []
    for name in entries.files:
        suffix = _suffix(name)
        if _hidden(name):
            continue
        if suffix in EXTENSIONS:
            images.append(name)
        elif suffix in UNREADABLE:
            foreign.append(name)
        elif name not in used:
            others.append(name)
    if foreign:
        raise UserError(
            f"{files.path} has {len(foreign):,} images that cannot be read here, first {foreign[0]}; convert them "
            "to PNG or JPEG, or remove them"
        )
    if hidden:
        left_out["hidden files or folders"] = len(hidden)
    for what, names in (
        ("links that lead nowhere", entries.broken),
        ("links that lead in a circle", entries.circular),
        ("folders that are read already under another name", entries.repeated),
        ("files of special kinds", entries.special),
    ):
        if shown := [name for name in names if not _hidden(name)]:
            left_out[f"{what} ({_some(shown)})"] = len(shown)
    if others:
        kinds = Counter(_suffix(name) or name.rpartition("/")[2] for name in others)
        left_out[f"files that are no images ({_some(list(kinds))})"] = len(others)
    if not images:
        raise UserError(
            f"{files.path} has no images ({', '.join(EXTENSIONS)}); {len(entries.files):,} files were found"
            + account(left_out)
        )
    files.check(images)
    return Sifted(images, [name for name in entries.folders if not _hidden(name)], left_out)


def _suffix(name: str) -> str:
    base = name.rpartition("/")[2]
    dot = base.rfind(".")
    return base[dot:].lower() if dot > 0 else ""


def _hidden(name: str) -> str:
    """The part of a name up to the first hidden file or folder in it; empty where there is none."""
    if "." not in name and "_" not in name and "$" not in name and "@" not in name:
        return ""  # nearly every name of a large set is decided here
    parts = name.split("/")
    for end, part in enumerate(parts, 1):
        if part.startswith(".") or part.lower() in _SYSTEM:
            return "/".join(parts[:end])
    return ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def arrange(sifted: Sifted, where: str) -> Arranged:
    """Classes and splits from the folders; raises UserError where they contradict each other.

    A class is the first folder below the root; folders that wrap everything do not count. Where the folders below the
    root are named train, val and test they are the splits, and classes lie in them. Images beside class folders are
    left out; where no image lies in a folder, all are of one class.
    """
    parts = {name: name.split("/") for name in sifted.images}
    stray: list[str] = []
    depth = 0
    while True:
        inside = [name for name in parts if len(parts[name]) > depth + 1]
        heads = {parts[name][depth] for name in inside}
        below = {parts[name][depth + 1] for name in inside if len(parts[name]) > depth + 2}
        direct = any(len(parts[name]) == depth + 2 for name in inside)
        if len(heads) != 1 or not below or (direct and len(below) < 2):
            break
        stray += [name for name in parts if len(parts[name]) <= depth + 1]
        parts = {name: parts[name] for name in inside}
        depth += 1
    splits_of = _split_folders(heads, parts, depth, where)
    level = depth + 1 if splits_of else depth  # of the class
    labelled = splits_of is None or _has_classes(parts.values(), depth)
    flat = not heads if splits_of is None else not labelled
    kept = list(parts) if flat else [name for name in parts if len(parts[name]) > level + 1]
    kept_names = set(kept)
    stray += [name for name in parts if name not in kept_names]
    left_out = Counter(sifted.left_out)
    if stray:
        left_out[f"images beside the class folders ({_some(sorted(stray))})"] = len(stray)
    classes = [UNLABELLED if flat else parts[name][level] for name in kept]
    empty = _empty(sifted.folders, kept, level)
    if empty and not flat:
        left_out[f"folders without images ({_some(empty)})"] = len(empty)
    splits = None if splits_of is None else [splits_of[parts[name][depth]] for name in kept]
    if splits is not None:
        trained = {c for c, split in zip(classes, splits, strict=True) if split == "train"}
        if strange := sorted(set(classes) - trained):
            other = next(s for c, s in zip(classes, splits, strict=True) if c == strange[0])
            raise UserError(
                f"{where} has the class {strange[0]!r} in its {other} folder but not in its train folder; "
                "give both the same class folders, or point data.path to the train folder alone"
            )
    nested = 0 if flat else sum(len(parts[name]) > level + 2 for name in kept)
    return Arranged(kept, classes, splits, left_out, nested)


def _has_classes(paths: Iterable[list[str]], depth: int) -> bool:
    return any(len(path) > depth + 2 for path in paths)


def _split_folders(heads: set[str], parts: dict[str, list[str]], depth: int, where: str) -> dict[str, Split] | None:
    """Which of the folders below the root is which split; None where they are classes."""
    exact = {head: SPLIT_NAMES[head.lower()] for head in heads if head.lower() in SPLIT_NAMES}
    guessed = {head: split for head in heads if (split := named_split(head)) is not None}
    # train2017 beside val2017 are splits, a train_station beside a car is none
    found = guessed if len(guessed) == len(set(guessed.values())) == len(heads) else exact
    others = sorted(heads - set(found))
    nested = {head: _has_classes((p for p in parts.values() if p[depth] == head), depth) for head in found}
    if len(found) < 2:
        if found and others and any(nested.values()):
            lone = next(iter(found))
            if not all(_has_classes((p for p in parts.values() if p[depth] == other), depth) for other in others):
                raise UserError(
                    f"{where} has the folder {lone!r} with class folders in it beside {others[0]!r} without; "
                    f"point data.path to {lone}, or remove the other"
                )
        return None
    names = ", ".join(sorted(found))
    if others:
        raise UserError(
            f"{where} has the splits {names} beside other folders ({_some(others)}); leave the splits alone "
            "there, or point data.path to one of them"
        )
    if len(set(found.values())) < len(found):
        raise UserError(f"{where} has two folders for one split ({names}); leave one of each kind")
    if "train" not in found.values():
        raise UserError(f"{where} has the splits {names} but no train; point data.path to one of them")
    if len(set(nested.values())) > 1:
        flat = sorted(head for head in found if not nested[head])
        train = next(head for head, split in found.items() if split == "train")
        raise UserError(
            f"{where} has class folders in some of {names} but none in {', '.join(flat)}; sort its images "
            f"into class folders, or point data.path to {train} alone, which is then split"
        )
    return found


def named_split(head: str) -> Split | None:
    """The split that a word of a name stands for: train2017, ILSVRC2012_img_val; None for none and for several."""
    words = [word for word in re.split(r"[^a-z]+", head.lower()) if word in SPLIT_NAMES]
    return SPLIT_NAMES[words[0]] if len(words) == 1 else None


def _empty(folders: Sequence[str], kept: Sequence[str], level: int) -> list[str]:
    """Folders at the level of classes that hold no image."""
    full = {"/".join(name.split("/")[: level + 1]) for name in kept}
    above = {folder.rpartition("/")[0] for folder in full}
    return [f for f in folders if f.count("/") == level and f not in full and f.rpartition("/")[0] in above]
