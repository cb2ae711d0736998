"""What a file of weights is: architecture, training, which methods apply, and where a grid lies to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.config.experiment import Checkpoint
from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, POSITIONS, Context, EncodingSpec, Grid
from rpe2d_bench.encodings.axial import Axial
from rpe2d_bench.errors import UserError
from rpe2d_bench.models import preset
from rpe2d_bench.models.sizes import preset_of
from rpe2d_bench.stages import foreign_file
from rpe2d_bench.stages.tensor_file import tensors
from rpe2d_bench.stages.weights_file import UNKNOWN, WeightsFile, one_base

if TYPE_CHECKING:
    from torch import Tensor

RULES = {"positions": POSITIONS, "frequencies": FREQUENCIES, "logit_scale": LOGIT_SCALES}


@dataclass(frozen=True)
class Inspection:
    """What is known of a file; `where` is the answer for the grid that was asked for."""

    format: str
    architecture: str
    parameters: int
    recipe: Mapping[str, Any] | None  # as our own files carry it; None: nobody says
    methods: Mapping[str, tuple[str, ...]]  # part of the encoding -> kinds that can replace it
    where: str | None = None

    def lines(self) -> Iterator[tuple[str, str]]:
        """Subject and sentence, for people."""
        yield "format", self.format
        yield "size", f"{self.architecture}, {self.parameters / 1e6:,.1f} M parameters"
        if self.recipe is None:
            yield "trained", f"{UNKNOWN}: say encoding, path and prediction as they were in training"
            return
        trained, encoding = self.recipe, self.recipe["encoding"]
        if "train_grid" in trained:
            pixels = f" ({'x'.join(map(str, trained['train_resolution']))} px)" if "train_resolution" in trained else ""
            yield "trained at", f"{'x'.join(map(str, trained['train_grid']))} tokens{pixels}"
        rules = ", ".join(f"{part} {encoding[part]['kind']}" for part in RULES if part in encoding)
        yield "encoding", f"{encoding['kind']}" + (f": {rules}" if rules else "")
        yield "predicts", f"{trained['train'].get('prediction', 'velocity')} along the path {trained['path']}"
        if (note := CONVENTIONS.get(self.format)) is not None:
            yield "convention", note
        for part, kinds in self.methods.items():
            yield part, ", ".join(kinds) or "none applies"
        if self.where is not None:
            yield "grid", self.where


CONVENTIONS = {
    "sit": "width's channels first, t = 1 is data; both are turned to this project's when the file is read",
    "dit": "width's channels first, steps 0..999 count up to noise; both are turned to this project's when it is read",
    "fit": "pairs of channels side by side, t = 1 is data; both are turned to this project's when the file is read",
}


def inspect(path: Path, layout: str | None = None, grid: Grid | None = None) -> Inspection:
    """What a file is. layout: ours, sit, dit or fit; None looks at the names of tensors, and of the file where sit and
    dit would name them alike. Raises UserError for a file that is none of these.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file of weights, .safetensors or .pt")
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a file of weights, .safetensors or .pt")
    named = tensors(path, shapes_only=True)
    ours = any(name.removeprefix("dit.").startswith("patches_in.") for name in named)
    layout = layout or ("ours" if ours else _by_name(path, named))
    file = WeightsFile.of(Checkpoint(path=str(path), format=layout))
    size = _own_size({name.removeprefix("dit."): value for name, value in named.items()}) if ours else _size(path)
    count = sum(value.numel() for name, value in named.items() if name != "pos_embed")
    methods = {} if file.recipe is None else _methods(file.recipe)
    where = None
    if grid is not None:
        where = f"{grid}: unknown, for nobody says the grid that it was trained at"
        if file.recipe is not None and "train_grid" in file.recipe:
            where = _where(file.recipe, grid, methods["frequencies"])
    return Inspection(layout, size, count, file.recipe, methods, where)


def _by_name(path: Path, named: Mapping[str, Tensor]) -> str:
    from rpe2d_bench.models.foreign_sizes import sizes_of

    if sizes_of(named, f"checkpoint {path}").fit:  # refuses what is none of them
        return "fit"
    found = [layout for layout in ("sit", "dit") if layout in path.name.lower()]
    if len(found) != 1:
        raise UserError(f"{path} is SiT or DiT, which name their tensors alike; write --format sit, or dit")
    return found[0]


def _size(path: Path) -> str:
    sizes, name = foreign_file.sizes(path), foreign_file.preset_name(path)
    return _words(name, sizes.width, sizes.depth, sizes.patch_size, sizes.channels, sizes.num_classes)


def _own_size(named: Mapping[str, Tensor]) -> str:
    width, values = named["patches_in.weight"].shape
    depth = 1 + max(int(name.split(".")[1]) for name in named if name.startswith("blocks."))
    classes = named["class_embedding.weight"].shape[0] - 1
    name = preset_of(width, depth, fit="shared_modulation.weight" in named) or "DiT"
    return f"{name}: width {width}, {depth} blocks, {values} values a patch, {classes:,} classes"


def _words(name: str, width: int, depth: int, patch: int, channels: int, classes: int) -> str:
    return f"{name}: width {width}, {depth} blocks, patch {patch}, {channels} channels, {classes:,} classes"


def _built(recipe: Mapping[str, Any], spec: EncodingSpec) -> Any:
    options = preset(recipe["model"]["preset"])
    return spec.build(width=options.width, heads=options.heads)


def _methods(recipe: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Kinds that work with the trained encoding, tried at one and a half times the grid."""
    import torch

    train = Grid(*recipe.get("train_grid", (8, 8)))
    context = Context(Grid(train.height * 3 // 2, train.width * 3 // 2), train, torch.full((1,), 0.5))
    spec = EncodingSpec.parse(one_base(recipe["encoding"]))
    found = {}
    for part, table in RULES.items():
        kinds = []
        for kind in sorted(table):
            options = getattr(table[kind], "example", {})
            try:
                _built(recipe, spec.replace({part: {"kind": kind, **options}}))(context)
            except (UserError, ValueError):
                continue
            kinds.append(kind)
        found[part] = tuple(kinds)
    return found


def _where(recipe: Mapping[str, Any], grid: Grid, frequencies: tuple[str, ...]) -> str:
    """Inside, interpolated or extrapolated under the trained encoding, and what the frequency rules make of it."""
    train, spec = Grid(*recipe["train_grid"]), EncodingSpec.parse(one_base(recipe["encoding"]))
    if not isinstance(encoding := _built(recipe, spec), Axial):
        return f"{grid}: {recipe['encoding']['kind']} has no positions that a grid could leave"
    plain = _lies(encoding, encoding, grid, train)
    sentence = f"{grid}: {plain} with the encoding as trained on {train}"
    if plain != "extrapolated":
        return sentence
    within = []
    for kind in frequencies:
        rule = {"kind": kind, **getattr(FREQUENCIES[kind], "example", {})}
        if _lies(_built(recipe, spec.replace({"frequencies": rule})), encoding, grid, train) == "interpolated":
            within.append(kind)
    return sentence + (f"; interpolated with frequencies {', '.join(within)}" if within else "")


def _lies(encoding: Axial, trained: Axial, grid: Grid, train: Grid) -> str:
    """How far the slowest channels turn, which no grid in training has turned full circle, compared with training."""
    import torch

    t = torch.full((1,), 0.5)
    now, before, F = Context(grid, train, t), Context(train, train, t), encoding.channels_per_axis
    worst = 0
    try:
        reached = encoding.positions(now)
    except UserError:  # random positions whose range the grid leaves
        return "extrapolated"
    for axis in (0, 1):
        slowed = encoding.frequencies(encoding.reference(now), axis, F)[0, -1]
        slowed = slowed / trained.frequencies(trained.reference(before), axis, F)[0, -1]
        end = float(reached[axis].abs().max() * slowed)
        widest = getattr(trained.positions, "max_grid", None)
        last = widest[axis] - 1 if widest else float(trained.positions(before)[axis].abs().max())
        # Interpolated tokens fill the extent of the trained ones, which ends one unit after the last
        worst = max(worst, 0 if end <= last + 1e-4 else 1 if end < last + 1 - 1e-4 else 2)
    return ("inside", "interpolated", "extrapolated")[worst]
