"""What an experiment file may say. Importing this imports neither torch nor ray.

Models are frozen and reject unknown keys; a default is written once, at its field. Options of encodings, data sets,
crops and metrics belong to their own tables and are checked there (see check.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

Options = dict[str, Any]  # {kind: ..., option: value}: the schema lives with the table that knows the kind


def _square(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


Side = Annotated[int, Field(gt=0)]
Resolution = Annotated[tuple[Side, Side], BeforeValidator(_square)]  # height, width; a single number is a square


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(_Part):
    """Size of the transformer."""

    preset: str  # NAME/PATCH, such as DiT-B/2
    scan: Literal["none", "alternate"] = "none"  # alternate: causal blocks in turn (LEDiT)
    stem: Literal["none", "dilated_conv"] = "none"  # dilated_conv: convolution in front (LEDiT)


class Train(_Part):
    """The recipe; equal for every model of an experiment unless an entry says otherwise."""

    path: str = "linear"  # from data to noise
    steps: int = Field(gt=0)
    batch_size: int = Field(64, gt=0)
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: matrices by Muon, the rest by AdamW
    lr: float = Field(1e-3, gt=0)  # peak learning rate
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.0, ge=0)
    warmup: int = Field(100, ge=0)  # steps of linear warm-up
    decay: float = Field(0.3, ge=0, le=1)  # last share of the steps, over which the rate falls linearly to zero
    ema: float = Field(0.999, ge=0, lt=1)  # decay of the averaged weights, which are what is sampled
    grad_clip: float = Field(1.0, gt=0)  # largest gradient norm
    class_dropout: float = Field(0.1, ge=0, lt=1)  # share of labels replaced by "no class", for guidance
    time_mean: float = 0.0  # logit-normal times
    time_std: float = Field(1.0, gt=0)  # of the normal before the sigmoid
    num_pictures: int | None = Field(None, gt=0)  # of the training split; by default all
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False


class ModelEntry(_Part):
    """What is trained: one checkpoint per entry, train resolution and seed."""

    encoding: Options  # in training
    crops: Options = {"kind": "none"}  # in training
    train: Options = {}  # replaces parts of the recipe
    model: Options = {}  # replaces parts of the size


class Sampler(_Part):
    kind: str = "euler"
    steps: int = Field(25, gt=0)
    guidance: float = 1.5  # 1.0 = none
    shift: float | Literal["sqrt_tokens"] = 1.0  # of timesteps; sqrt_tokens: sqrt(tokens / trained), at least 1
    precision: Literal["float32", "bf16"] = "float32"  # of the model's passes; the integration is in float32


class MethodEntry(_Part):
    """What is compared: a checkpoint, and what replaces parts of its encoding or sampler."""

    model: str  # an entry of models
    positions: Options | None = None  # replaces the trained rule, as the next two do
    frequencies: Options | None = None
    logit_scale: Options | None = None
    sampler: Options = {}
    upscale: bool = False  # generate at the train resolution and resize: the control that every method must beat
    conditioning: tuple[float, float, float] = (
        0.0,
        0.0,
        0.0,
    )  # log2 zoom, centre y, x; zeros: complete pictures

    @property
    def replacements(self) -> Options:
        """Parts of the encoding that this method replaces."""
        parts = {"positions": self.positions, "frequencies": self.frequencies, "logit_scale": self.logit_scale}
        return {name: options for name, options in parts.items() if options is not None}


class Pair(_Part):
    """A train resolution and the resolutions it is tested at."""

    train: Resolution
    test: tuple[Resolution, ...] = Field(min_length=1)


class Evaluate(_Part):
    sampler: Sampler = Sampler()
    num_samples: int = Field(500, gt=1)  # pictures per cell, and in its reference
    metrics: tuple[str, ...] = ("kid", "fd", "precision", "recall", "accuracy")
    features: str = "glyphnet"  # net of the distances; its name becomes part of theirs
    judge: str | None = "glyphjudge"  # independent classifier of the accuracy
    split: Literal["test", "validation"] = "test"  # tuning uses validation and never sees test


class Resources(_Part):
    """How it is run; never enters a hash."""

    trials_in_parallel: int = Field(2, gt=0)  # slots for trainings and measurements
    cpus_per_trial: int = Field(1, gt=0)
    gpus_per_trial: float = Field(0, ge=0)
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    sample_batch: int = Field(64, gt=0)  # pictures generated together, fewer on larger grids
    checkpoint_every: float = Field(20.0, gt=0)  # seconds between training checkpoints


class Report(_Part):
    main_metric: str = "kid"  # first in the report
    reference_method: str | None = None  # what differences and "undertrained" refer to


class Experiment(_Part):
    """One experiment file."""

    schema_version: Literal[1]  # of this format
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")  # also of its report folder and MLflow experiment
    seeds: tuple[int, ...] = Field((0,), min_length=1)  # each trains every model once
    data: Options  # what pictures show
    model: Model
    train: Train
    models: dict[str, ModelEntry] = Field(min_length=1)
    methods: dict[str, MethodEntry] = Field(min_length=1)
    resolutions: tuple[Pair, ...] = Field(min_length=1)
    evaluate: Evaluate = Evaluate()
    resources: Resources = Resources()
    report: Report = Report()

    @field_validator("seeds", "resolutions")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        keys = [item.train if isinstance(item, Pair) else item for item in value]
        if len(set(keys)) != len(keys):
            raise ValueError("an entry occurs twice; write each once")
        return value

    def train_of(self, model: str) -> Train:
        """The recipe of a model entry."""
        return Train.model_validate({**self.train.model_dump(), **self.models[model].train})

    def model_of(self, model: str) -> Model:
        """The size of a model entry."""
        return Model.model_validate({**self.model.model_dump(), **self.models[model].model})

    def sampler_of(self, method: str) -> Sampler:
        """The sampler of a method entry."""
        return Sampler.model_validate({**self.evaluate.sampler.model_dump(), **self.methods[method].sampler})
