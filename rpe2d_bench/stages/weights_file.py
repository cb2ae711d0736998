"""Trained weights as a file that carries its recipe: what they were trained under stands in the safetensors header.

Weights mean something only under the encoding, base, path and grid of their training, and tensors say nothing of these.
The header of a safetensors file is read without the tensors, so that `validate` and `plan` can look inside.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.record_parts import WeightsOrigin

if TYPE_CHECKING:
    from rpe2d_bench.stages.train import TrainStage

METADATA, RECIPE = "__metadata__", "rpe2d_bench.recipe"  # the format's own key, and ours below it
FORMAT = 1  # of the recipe
LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows
UNKNOWN = "recipe unknown"


@dataclass(frozen=True)
class WeightsFile:
    """A user's own weights; the content identifies them, not the path."""

    path: str
    digest: str  # of the tensors and their names
    recipe: dict[str, Any] | None = None  # what they were trained under; None: the file does not say
    trust: bool = False  # use them whatever the recipe says

    @classmethod
    def at(cls, path: str, trust: bool = False) -> WeightsFile:
        """Opens the file. Raises UserError where it is absent or no safetensors file."""
        file = Path(path).absolute()
        if not file.is_file():
            raise UserError(f"checkpoint {path} is not a file; give a safetensors file with the weights of a DiT")
        digest, recipe = _identified(str(file), file.stat().st_mtime_ns)
        return cls(str(file), digest, recipe, trust)


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensor -> shape. Raises UserError for anything but a whole safetensors file."""
    return {name: tuple(entry["shape"]) for name, entry in _header(path)[0].items() if name != METADATA}


@cache
def _identified(path: str, _changed: int) -> tuple[str, dict[str, Any] | None]:
    header, start = _header(Path(path))
    try:
        recipe = json.loads(header[METADATA][RECIPE])
    except (KeyError, TypeError, ValueError):
        recipe = None
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        if recipe is not None:
            # What is told about weights must not make them other weights: as if the file held the tensors alone
            text = json.dumps(
                {name: entry for name, entry in header.items() if name != METADATA}, separators=(",", ":")
            )
            plain = text.encode()
            plain += b" " * (-len(plain) % 8)
            digest.update(struct.pack("<Q", len(plain)) + plain)
            file.seek(start)
        while block := file.read(1 << 20):
            digest.update(block)
    readable = isinstance(recipe, dict) and recipe.get("format") == FORMAT
    return digest.hexdigest(), recipe if readable else None


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header and where the tensors start."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size - 8, LONGEST_HEADER):
                raise ValueError("its header does not fit into it")
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != METADATA]
        sizes = [math.prod(entry["shape"]) for name, entry in header.items() if name != METADATA]
        if not ends or min(sizes) < 0 or 8 + length + max(ends) != size:
            raise ValueError("it does not hold the tensors that its header names")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        why = str(error) if type(error) is ValueError else "it does not start as one"
        raise UserError(
            f"checkpoint {path} is not a readable safetensors file: {why}; give a safetensors file with the weights of "
            "a DiT"
        ) from None
    return header, 8 + length


def metadata_of(recipe: Mapping[str, Any] | None) -> dict[str, str] | None:
    """The recipe as `save_file` takes it."""
    return None if recipe is None else {RECIPE: json.dumps(recipe, sort_keys=True)}


def recipe_of(stage: TrainStage) -> dict[str, Any] | None:
    """What the weights of a finished training were trained under; None where they came from a file that does not say.

    A training of no steps hands its weights on as they are, and their recipe with them.
    """
    from rpe2d_bench import data
    from rpe2d_bench.data import crops
    from rpe2d_bench.storage import records

    before = None
    if stage.start is not None:
        before = recipe_of(stage.start)
    elif stage.weights is not None:
        before = stage.weights.recipe
    if not stage.recipe.steps:
        return before
    made = records.provenance()
    recipe: dict[str, Any] = {
        "format": FORMAT,
        "encoding": stage.encoding.canonical,
        "path": stage.recipe.path,
        "model": stage.model.model_dump(mode="json"),
        "channels": stage.model_channels,
        "classes": stage.num_classes,
        "train_resolution": list(stage.resolution),
        "train_grid": [stage.grid.height, stage.grid.width],
        "mixed": [[list(resolution), share] for resolution, share in stage.mixed],
        "crops": crops.canonical(stage.crops),
        "data": {"name": data.name_of(stage.data), "revision": stage.revision},
        "autoencoder": None if stage.latents is None else stage.latents.revision,
        "train": stage.recipe.model_dump(mode="json"),
        "seed": stage.seed,
        "commit": made.commit,
        "uncommitted_changes": made.dirty,
        "packages": {name: made.packages[name] for name in ("rpe2d-bench", "torch") if name in made.packages},
    }
    if stage.start is not None or stage.weights is not None:
        recipe["starts_from"] = before or UNKNOWN
    return recipe


@dataclass(frozen=True)
class Difference:
    """One thing that weights were trained under and are not used under."""

    trained: str  # 'theta 100'
    used: str  # 'theta 10000'
    decides: bool = True  # what the weights compute; other data do not


def differences(recipe: Mapping[str, Any], stage: TrainStage) -> tuple[Difference, ...]:
    """What differs between the recipe of weights and the training that takes them."""
    ours = {
        "": _one_base(stage.encoding.canonical),
        "path": stage.recipe.path,
        "prediction": stage.recipe.prediction,
        **stage.model.model_dump(mode="json"),
        "channels": stage.model_channels,
        "classes": stage.num_classes,
        "train grid": str(stage.grid),
        "crops": "none" if stage.crops.kind == "none" else "conditioned on",
        "autoencoder": None if stage.latents is None else stage.latents.revision,
    }
    theirs = {
        "": _one_base(_completed(recipe["encoding"])),
        "path": recipe["path"],
        "prediction": recipe["train"].get("prediction", "velocity"),  # older files do not say
        **recipe["model"],
        "channels": recipe["channels"],
        "classes": recipe["classes"],
        "train grid": "x".join(map(str, recipe["train_grid"])),
        "crops": "none" if recipe["crops"]["kind"] == "none" else "conditioned on",
        "autoencoder": recipe["autoencoder"],
    }
    found = [Difference(*pair) for pair in _apart("", theirs, ours)]
    if recipe["data"]["revision"] != stage.revision:
        found.append(Difference(f"data {recipe['data']['revision']}", f"data {stage.revision}", decides=False))
    return tuple(found)


def remark(stage: TrainStage) -> str | None:
    """What a reader must know of the file that a training takes its weights from; None where there is nothing."""
    if stage.weights is None:
        return None
    if stage.weights.recipe is None:
        return UNKNOWN
    found = differences(stage.weights.recipe, stage)
    how = "trained further" if stage.recipe.steps else "used"
    return f"weights trained under {_side(found, 'trained')} are {how} under {_side(found, 'used')}" if found else None


def refuse(stage: TrainStage, written: str) -> None:
    """Raises UserError where weights would be used as they are under another recipe; `written` is the path in the file.

    A training with steps may start from whatever fits: that is a retrofit, and `remark` says it.
    """
    if stage.weights is None or stage.weights.recipe is None or stage.weights.trust or stage.recipe.steps:
        return
    found = tuple(part for part in differences(stage.weights.recipe, stage) if part.decides)
    if found:
        trained, used = _side(found, "trained"), _side(found, "used")
        raise UserError(
            f"checkpoint {written} was trained under {trained} and is used under {used}; "
            f"write the model as it was trained, or checkpoint: {{path: {written}, trust: true}}"
        )


def story_of(weights: WeightsFile, stage: TrainStage) -> WeightsOrigin:
    """What a record says of the file that a training took its weights from."""
    return WeightsOrigin(digest=weights.digest, recipe=weights.recipe, trust=weights.trust, remark=remark(stage))


def _side(found: tuple[Difference, ...], side: str) -> str:
    return ", ".join(getattr(part, side) for part in found)


def _completed(encoding: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recipe's encoding with the defaults that came after it."""
    from rpe2d_bench.encodings import EncodingSpec

    try:
        return EncodingSpec.parse(encoding).canonical
    except UserError:  # a method that is not installed here
        return encoding


def _one_base(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The complete spelling, with the rotary base in one place wherever it was written."""
    frequencies = spec.get("frequencies")
    if isinstance(frequencies, Mapping) and "theta" in frequencies:
        own = {name: value for name, value in frequencies.items() if name != "theta"}
        base = spec.get("theta")
        spec = {**spec, "theta": frequencies["theta"] if base is None else base, "frequencies": own}
    return spec


def _apart(name: str, theirs: Any, ours: Any) -> Iterator[tuple[str, str]]:
    """Both sides of every leaf that differs; where a kind differs, its options say nothing."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        if theirs.get("kind") != ours.get("kind"):
            yield (f"{name} {theirs.get('kind')}".strip(), f"{name} {ours.get('kind')}".strip())
            return
        for key in dict.fromkeys([*theirs, *ours]):
            yield from _apart(f"{name}.{key}".strip("."), theirs.get(key), ours.get(key))
    elif _plain(theirs) != _plain(ours):
        yield f"{name} {_words(theirs)}", f"{name} {_words(ours)}"


def _plain(value: Any) -> Any:
    """Tuples as JSON brings them back; 100 and 100.0 are equal already."""
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("kind", dict(value)))
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
