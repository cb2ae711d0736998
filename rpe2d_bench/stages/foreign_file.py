"""Files of weights in the layout of SiT, DiT or FiT: tensors are read and nothing in the file is executed.

What such a file leaves unsaid, its repository's code says: the recipe made here is of the form that our own files
carry, so that everything which asks a file what it was trained under asks one question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.errors import UserError
from rpe2d_bench.stages.tensor_file import tensors
from rpe2d_bench.storage.files import sha256_of_unchanged

if TYPE_CHECKING:
    from torch import Tensor

    from rpe2d_bench.models.foreign_sizes import Sizes

VERSION = 1  # of how such files are read: another one makes other weights of them
ABSENT = "absent"  # the digest of a file that is not there yet


def weights_of(path: Path, layout: str, *, shapes_only: bool = False) -> dict[str, Tensor]:
    """State of our DiT from a file in that layout. Raises UserError where it is none."""
    from rpe2d_bench.models.foreign import LAYOUTS, from_layout

    return from_layout(tensors(path, shapes_only=shapes_only), LAYOUTS[layout], f"checkpoint {path}")


def digest_of(path: Path, layout: str) -> str:
    """What stands for the weights in content keys: the file and how it is read."""
    return hashlib.sha256(f"{layout} {VERSION} {sha256_of_unchanged(path)}".encode()).hexdigest()


def sizes(path: Path) -> Sizes:
    """The architecture of a file in any such layout. Raises UserError where it is of another."""
    return _sizes(str(path), path.stat().st_mtime_ns)


@cache
def _sizes(path: str, _changed: int) -> Sizes:
    from rpe2d_bench.models.foreign_sizes import sizes_of

    return sizes_of(tensors(Path(path), shapes_only=True), f"checkpoint {path}")


def preset_name(path: Path) -> str:
    """NAME/PATCH of a file's size. Raises UserError for a size that has no name here: tensors do not say the heads."""
    return sizes(path).preset(f"checkpoint {path}")


def model_options(layout: str) -> dict[str, Any]:
    """What the code of the layout's repository makes of `model` beside its size."""
    from rpe2d_bench.models.foreign import LAYOUTS

    theirs = LAYOUTS[layout]
    return ({} if theirs.rotary else {"gelu": "tanh"}) | {"time_scale": theirs.time_scale}


def train_options(layout: str) -> dict[str, Any]:
    """What its published weights were trained to predict, and along which path."""
    from rpe2d_bench.models.foreign import LAYOUTS

    return {"path": LAYOUTS[layout].path, "prediction": LAYOUTS[layout].prediction}


def encoding(layout: str) -> dict[str, str]:
    """That its published weights were trained under."""
    from rpe2d_bench.models.foreign import LAYOUTS

    return LAYOUTS[layout].encoding


def recipe_of_layout(path: Path, layout: str) -> dict[str, Any]:
    """What the weights were trained under as far as the file and its repository's code say it."""
    from rpe2d_bench.encodings import EncodingSpec
    from rpe2d_bench.models.foreign import LAYOUTS

    found, trained = sizes(path), train_options(layout)
    recipe: dict[str, Any] = {
        "source": f"{LAYOUTS[layout].repository} layout",
        "encoding": EncodingSpec.parse(LAYOUTS[layout].encoding).canonical,
        "path": trained["path"],
        "model": {"preset": preset_name(path), "scan": "none", "stem": "none", **model_options(layout)},
        "channels": found.channels,
        "classes": found.num_classes,
        "crops": {"kind": "none"},
        "train": {"prediction": trained["prediction"]},
    }
    if found.grid is not None:
        recipe["train_grid"] = [found.grid.height, found.grid.width]
    return recipe


def exported(path: Path, recipe: Mapping[str, Any] | None, layout: str) -> dict[str, Tensor]:
    """Our weights in that layout. Raises UserError where its repository's code could not give the same outputs."""
    from rpe2d_bench.encodings import EncodingSpec, Grid
    from rpe2d_bench.models import preset
    from rpe2d_bench.models.foreign import LAYOUTS, to_layout

    if recipe is None:
        raise UserError(f"{path} does not say what it was trained under; export writes files that do")
    size, theirs = recipe["model"], LAYOUTS[layout]
    dit = preset(size["preset"])
    grid = Grid(*recipe["train_grid"])
    paths = {"dit": (theirs.path,)}.get(layout, ("linear", "vp"))  # SiT and FiT name vp GVP
    for what, found, needed in (
        ("encoding", recipe["encoding"], (EncodingSpec.parse(theirs.encoding).canonical,)),
        ("crops", recipe["crops"]["kind"], ("none",)),
        ("model.scan", size["scan"], ("none",)),
        ("model.stem", size["stem"], ("none",)),
        ("the layers of", "FiTv2" if dit.swiglu else "DiT", ("FiTv2" if theirs.rotary else "DiT",)),
        ("model.gelu", "tanh" if dit.swiglu else size.get("gelu") or dit.gelu, ("tanh",)),
        ("model.time_scale", size.get("time_scale", 1000.0), (theirs.time_scale,)),
        ("train.path", recipe["path"], paths),
        ("train.prediction", recipe["train"].get("prediction", "velocity"), (theirs.prediction,)),
        ("the train grid's height", grid.height, (grid.height if theirs.rotary else grid.width,)),
    ):
        if found not in needed:
            was, must = (value["kind"] if isinstance(value, dict) else value for value in (found, needed[0]))
            options = " with its defaults" if was == must else ""
            raise UserError(
                f"{path} was trained with {what} {was}; the code of {theirs.repository} computes {must}{options}, so "
                f"that it could not give the same outputs: train with {what} {must} to export it"
            )
    named = {name.removeprefix("dit."): value.float() for name, value in tensors(path).items()}
    return to_layout(named, theirs, grid, dit)
