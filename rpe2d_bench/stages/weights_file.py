"""Trained weights as a file that carries its recipe: what they were trained under stands in the safetensors header.

Weights mean something only under the encoding, base, path and grid of their training, and tensors say nothing of these.
The header of a safetensors file is read without the tensors, so that `validate` and `plan` can look inside.

Longer than other files, because what is written, read and compared of a recipe is one list of fields.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.config.experiment import Checkpoint
from rpe2d_bench.errors import UserError
from rpe2d_bench.stages import foreign_file
from rpe2d_bench.stages.tensor_file import METADATA, header_of
from rpe2d_bench.storage.record_parts import WeightsOrigin

if TYPE_CHECKING:
    from rpe2d_bench.stages.train import TrainStage

RECIPE = "rpe2d_bench.recipe"  # our key in the metadata of safetensors
FORMAT = 1  # of the recipe
UNKNOWN = "recipe unknown"


@dataclass(frozen=True)
class WeightsFile:
    """A user's own weights; the content identifies them, not the path."""

    path: str
    digest: str  # of the tensors and their names
    recipe: dict[str, Any] | None = None  # what they were trained under; None: the file does not say
    trust: bool = False  # use them whatever the recipe says
    format: str = "ours"  # whose names and conventions they follow

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> WeightsFile:
        """The file of an experiment; one in a foreign layout may be absent, so that a plan can count without it."""
        if checkpoint.format == "ours":
            return cls.at(checkpoint.path, checkpoint.trust)
        file = Path(checkpoint.path).absolute()
        if not file.is_file():
            return cls(str(file), foreign_file.ABSENT, None, checkpoint.trust, checkpoint.format)
        recipe = {"format": FORMAT} | foreign_file.recipe_of_layout(file, checkpoint.format)
        digest = foreign_file.digest_of(file, checkpoint.format)
        return cls(str(file), digest, recipe, checkpoint.trust, checkpoint.format)

    @property
    def present(self) -> bool:
        return self.digest != foreign_file.ABSENT

    @classmethod
    def at(cls, path: str, trust: bool = False) -> WeightsFile:
        """Opens the file. Raises UserError where it is absent or no safetensors file."""
        file = Path(path).absolute()
        if not file.is_file():
            raise UserError(f"checkpoint {path} is not a file; give a safetensors file with the weights of a DiT")
        digest, recipe = _identified(str(file), file.stat().st_mtime_ns)
        return cls(str(file), digest, recipe, trust)


@cache
def _identified(path: str, _changed: int) -> tuple[str, dict[str, Any] | None]:
    header, start = header_of(Path(path))
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
    """What differs between the recipe of weights and the training that takes them, of what the recipe says."""
    from rpe2d_bench.models import options_of

    ours = {
        "": one_base(stage.encoding.canonical),
        "path": stage.recipe.path,
        "prediction": stage.recipe.prediction,
        **stage.model.model_dump(mode="json"),
        "gelu": options_of(stage.model).gelu,
        "time_scale": stage.model.time_scale,
        "channels": stage.model_channels,
        "classes": stage.num_classes,
        "train grid": str(stage.grid),
        "crops": "none" if stage.crops.kind == "none" else "conditioned on",
        "autoencoder": None if stage.latents is None else stage.latents.revision,
    }
    theirs = {
        "": one_base(_completed(recipe["encoding"])),
        "path": recipe["path"],
        "prediction": recipe["train"].get("prediction", "velocity"),  # older files do not say
        **_options(recipe["model"]),
        "channels": recipe["channels"],
        "classes": recipe["classes"],
        "crops": "none" if recipe["crops"]["kind"] == "none" else "conditioned on",
    }
    if "train_grid" in recipe:
        theirs["train grid"] = "x".join(map(str, recipe["train_grid"]))
    if "autoencoder" in recipe:
        theirs["autoencoder"] = recipe["autoencoder"]
    comparable = {name: value for name, value in ours.items() if name in theirs}
    found = [Difference(*pair) for pair in _apart("", theirs, comparable)]
    if "data" in recipe and recipe["data"]["revision"] != stage.revision:
        found.append(Difference(f"data {recipe['data']['revision']}", f"data {stage.revision}", decides=False))
    return tuple(found)


def remark(stage: TrainStage) -> str | None:
    """What a reader must know of the file that a training takes its weights from; None where there is nothing."""
    if stage.weights is None:
        return None
    if not stage.weights.present:
        return f"{stage.weights.path} is not there yet"
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


def _options(model: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's model with the options that came after it; of a preset that is not known here as it stands."""
    from rpe2d_bench.models import preset

    later: dict[str, Any] = {"time_scale": 1000.0}
    with suppress(UserError):
        later["gelu"] = preset(model["preset"]).gelu
    return later | dict(model)


def one_base(spec: Mapping[str, Any]) -> Mapping[str, Any]:
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
