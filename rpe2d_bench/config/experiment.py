"""What an experiment file may say. Importing this imports neither torch nor ray.

Models are frozen and reject unknown keys; a default is written once, at its field. Options of encodings, data sets,
crops and metrics belong to their own tables and are checked there (resolve/).

Longer than other files, because it is one table: every key of the file, once.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from rpe2d_bench.config.options import allows_bool, holds_bool
from rpe2d_bench.config.values import (
    Crop,
    Decay,
    Gpus,
    Guidance,
    Name,
    Seed,
    Shift,
    StatisticsPaths,
    WrittenSize,
)
from rpe2d_bench.resolution import Resolution

Options = dict[str, Any]  # {kind: ..., option: value}: the schema lives with the table that knows the kind


class _Part(BaseModel):
    """Frozen, without unknown keys, infinite numbers, or truth values where numbers belong."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values(cls, value: Any, info: ValidationInfo) -> Any:
        if holds_bool(value) and not allows_bool(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError(f"{info.field_name}: true and false are no value here, got {value!r}")
        return value


# New name -> the one that content keys, records and `--set` know. Files may write either; the new one counts.
NEW_NAMES = {"Train": {"num_images": "num_pictures"}, "Evaluate": {"classifier": "judge"}}


class _Renamed(_Part):
    """A part some of whose keys have a second, newer name."""

    @model_validator(mode="before")
    @classmethod
    def _by_old_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        new = NEW_NAMES[cls.__name__]
        kept = {key: value for key, value in data.items() if key not in new}
        return kept | {old: data[name] for name, old in new.items() if name in data}


class _Grown(_Part):
    """A part that enters content keys and got options later: these are written out where they differ from the default.

    What was trained and sampled before them keeps its key, its record and its recipe.
    """

    LATER: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        same = {name for name in self.LATER if getattr(self, name) == fields[name].default}
        return {name: value for name, value in written(self).items() if name not in same}


class Model(_Grown):
    """Size of the transformer."""

    LATER: ClassVar[tuple[str, ...]] = ("gelu", "time_scale")

    preset: str  # NAME/PATCH, such as DiT-B/2
    scan: Literal["none", "alternate"] = "none"  # alternate: causal blocks in turn (LEDiT)
    stem: Literal["none", "dilated_conv"] = "none"  # dilated_conv: convolution in front (LEDiT)
    gelu: Literal["tanh", "none"] | None = None  # its approximation; by default the preset's: tanh, none for mini sizes
    time_scale: float = Field(1000.0, gt=0, le=1e6)  # t in [0, 1] times this is what time's features see; SiT, FiT: 1


class Train(_Renamed):
    """The recipe; equal for every model of an experiment unless an entry says otherwise."""

    path: str = "linear"  # from data to noise
    prediction: Literal["velocity", "clean_image", "noise"] = (
        "velocity"  # clean_image: x-prediction; noise: epsilon; the loss is the same
    )
    steps: int = Field(ge=0, le=1_000_000_000)
    batch_size: int = Field(64, gt=0, le=1_000_000)
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: matrices by Muon, the rest by AdamW
    lr: float = Field(1e-3, gt=0, le=10)  # peak learning rate
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    weight_decay: float = Field(0.0, ge=0, le=100)
    warmup: int = Field(100, ge=0, le=1_000_000_000)  # steps of linear warm-up
    decay: float = Field(0.3, ge=0, le=1)  # last share of the steps, over which the rate falls linearly to zero
    ema: float = Field(0.999, ge=0, lt=1)  # decay of the averaged weights, which are what is sampled
    grad_clip: float = Field(1.0, gt=0, le=1e6)  # largest gradient norm
    class_dropout: float = Field(0.1, ge=0, lt=1)  # share of labels replaced by "no class", for guidance
    time_mean: float = Field(0.0, ge=-10, le=10)  # logit-normal times
    time_std: float = Field(1.0, gt=0, le=100)  # of the normal before the sigmoid
    num_pictures: int | None = Field(None, gt=0, le=1_000_000_000)  # of the train split; also num_images
    precision: Literal["auto", "float32", "bf16"] = "auto"  # auto: what a measurement finds faster on this machine
    compile: bool = False
    accumulate: int = Field(
        1, gt=0, le=1_000_000
    )  # parts that a batch is computed in, one after the other, to save memory
    milestones: tuple[int, ...] = ()  # steps after which the averaged weights are kept, too; `export --step` takes them

    @model_validator(mode="after")
    def _milestones_are_steps(self) -> Train:
        never = [step for step in self.milestones if not 0 < step <= self.steps]
        if never and self.steps:
            raise ValueError(f"milestones: {never[0]} is no step of a training of {self.steps}")
        return self


class Init(_Part):
    """The model that a training starts from, instead of random weights: its averaged weights, a fresh optimizer."""

    model: str  # an entry of models, which is trained for this if no method needs it
    resolution: WrittenSize | None = None  # that it was trained at; by default the resolution of the entry it starts


class Mixed(_Part):
    """A further resolution in training."""

    resolution: WrittenSize
    share: float = Field(gt=0, lt=1)  # of the steps


def _path(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class Checkpoint(_Part):
    """A file of weights. A path alone means {path: PATH}; it is looked for beside the experiment file first."""

    path: str  # seen from the experiment file's folder, then from the working directory
    format: Literal["ours", "sit", "dit", "fit"] = (
        "ours"  # whose names and conventions the weights follow; docs/weights.md
    )
    trust: bool = False  # use them as they are although they were trained under something else; reports say so


WeightsPath = Annotated[Checkpoint, BeforeValidator(_path)]


class Pipeline(_Part):
    """A folder that diffusers saved, used as it is: nothing is trained and nothing is downloaded."""

    path: str  # seen from the experiment file's folder, then from the working directory
    dtype: Literal["float32", "bf16", "float16"] = "bf16"  # of its weights and of what it computes
    labels: tuple[int, ...] = ()  # the pipeline's label of each class of the data; empty: class k is label k


class Prompts(_Part):
    """What pipelines that take text are asked for."""

    file: str  # a prompt a line, taken in turn; seen from the experiment file's folder, then from the working directory


class ModelEntry(_Part):
    """What is trained: one checkpoint per entry, train resolution and seed; or somebody's pipeline."""

    encoding: Options = {}  # in training; every entry but a pipeline has one
    pipeline: Pipeline | None = None  # a model from outside, in place of everything else here
    crops: Options = {"kind": "none"}  # in training
    train: Options = {}  # replaces parts of the recipe; steps: 0 takes the weights of init or checkpoint as they are
    model: Options = {}  # replaces parts of the size
    resolution: WrittenSize | None = None  # trained at this one instead of the pair's, as a control
    mixed: tuple[Mixed, ...] = ()  # resolutions that take turns with it, a batch each
    init: Init | None = None  # starts from another entry's model
    checkpoint: WeightsPath | None = None  # starts from a file's weights; null takes this entry's steps: 0 away with it

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, data: Any) -> Any:
        """`steps: 0` belongs to the weights that are taken: without them the file's recipe trains."""
        if not isinstance(data, dict) or "checkpoint" not in data or data["checkpoint"] is not None or data.get("init"):
            return data
        train = data.get("train")
        if not isinstance(train, dict) or train.get("steps") != 0:
            return data
        return {**data, "train": {name: value for name, value in train.items() if name != "steps"}}

    @model_validator(mode="after")
    def _consistent(self) -> ModelEntry:
        if self.pipeline is None and not self.encoding:
            raise ValueError("encoding is missing; write for example encoding: {kind: axial_rope}")
        chosen = sorted(name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default)
        if self.pipeline is not None and chosen != ["pipeline"]:
            name = next(name for name in chosen if name != "pipeline")
            raise ValueError(f"{name} cannot be chosen for a pipeline, which is trained; leave it out")
        if self.init is not None and self.checkpoint is not None:
            raise ValueError("init and checkpoint both say where the weights come from; write one")
        if sum(part.share for part in self.mixed) >= 1:
            raise ValueError("the shares of mixed leave no step for the train resolution; their sum must be below 1")
        return self


class Sampler(_Grown):
    LATER: ClassVar[tuple[str, ...]] = ("guided_channels", "compile")

    kind: str = "euler"
    steps: int = Field(25, gt=0, le=100_000)
    guidance: Guidance = 1.5  # 1.0 = none
    guided_channels: int | None = Field(None, gt=0, le=100_000)  # the first so many; SiT's and DiT's scripts guide 3
    shift: Shift = 1.0  # of timesteps; sqrt_tokens: sqrt(tokens / trained), at least 1
    precision: Literal["auto", "float32", "bf16"] = "auto"  # of the model's passes; the integration is in float32
    compile: bool = False  # a program for each grid; on a GPU it is played back as a CUDA graph


class MethodEntry(_Part):
    """What is compared: a checkpoint, and what replaces parts of its encoding or sampler."""

    model: str  # an entry of models
    positions: Options | None = None  # replaces the trained rule, as the next two do
    frequencies: Options | None = None
    logit_scale: Options | None = None
    sampler: Options = {}
    # generate at the train resolution and resize: the control that every method must beat; padded: without stretching
    upscale: bool | Literal["padded"] = False
    refine: Annotated[float, Field(gt=0, lt=1)] | None = (
        None  # with upscale: renoise to this t, denoise at the test size
    )
    conditioning: tuple[Crop, Crop, Crop] = (0.0, 0.0, 0.0)  # log2 zoom, centre y, x; zeros: complete images

    @model_validator(mode="after")
    def _refines_what_is_enlarged(self) -> MethodEntry:
        if self.refine is not None and not self.upscale:
            raise ValueError("refine works on enlarged images; write upscale: true beside it")
        return self

    @property
    def replacements(self) -> Options:
        """Parts of the encoding that this method replaces."""
        parts = {"positions": self.positions, "frequencies": self.frequencies, "logit_scale": self.logit_scale}
        return {name: options for name, options in parts.items() if options is not None}


class Pair(_Part):
    """A train resolution and the resolutions it is tested at."""

    train: WrittenSize
    test: tuple[WrittenSize, ...] = Field(min_length=1)


class ReferenceStatistics(_Part):
    """What fid_adm is the distance from, instead of the reference's images: as published FIDs are taken."""

    statistics: (
        StatisticsPaths  # an .npz with mu and sigma, for every size, or for each: {'256': a.npz, 224x448: b.npz}
    )

    def of(self, size: Resolution) -> str | None:
        """The file for a test size, if there is one."""
        return self.statistics if isinstance(self.statistics, str) else self.statistics.get(str(size))


class Evaluate(_Renamed):
    sampler: Sampler = Sampler()
    num_samples: int = Field(500, gt=1, le=10_000_000)  # images per cell, and in its reference
    metrics: tuple[str, ...] = ("kid", "fd", "precision", "recall", "accuracy")
    features: str = "glyphnet"  # net of the distances; its name becomes part of theirs
    weights: str | None = None  # file of that net's weights, where the package ships none
    guidance: tuple[Guidance, ...] = ()  # every method once more at each of these, as NAME-wX: does order hold?
    labels: Literal["reference", "balanced", "iid"] = "reference"  # classes as in the reference, even in both, or drawn
    judge: str | None = "glyphjudge"  # independent net behind the accuracy; also classifier
    split: Literal["test", "validation"] = "test"  # tuning uses validation and never sees test
    reference: ReferenceStatistics | None = None  # published statistics, for fid_adm


class Resources(_Part):
    """How it is run; never enters a hash."""

    trials_in_parallel: int = Field(2, gt=0, le=100_000)  # slots for trainings and measurements
    cpus_per_trial: int = Field(1, gt=0, le=100_000)
    gpus_per_trial: Gpus = 0.0  # a share of one, or that many a training; auto: divides trials_in_parallel GPUs
    sharded: bool = False  # the GPUs of a training divide weights and the optimizer's state among them
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    sample_batch: int = Field(64, gt=0, le=1_000_000)  # images generated together, fewer on larger grids
    checkpoint_every: float | None = Field(
        None, gt=0, le=1e7
    )  # seconds between checkpoints; by default 20, more where they would take over 2 % of a training's time
    images_per_share: int = Field(
        2048, gt=0, le=1_000_000_000
    )  # what is sampled or seen by nets is divided among slots in shares of about so many, pools of 8 times as many

    @property
    def gpus(self) -> float:
        """Of a training; `auto` is one each until a plan has chosen (plan/gpus.py)."""
        return 1.0 if self.gpus_per_trial == "auto" else self.gpus_per_trial

    def checkpoint_interval(self, cost: float = 0.0) -> float:
        """Seconds until the next checkpoint; cost: what the last one took."""
        return self.checkpoint_every or max(20.0, cost / 0.02)


class Report(_Part):
    main_metric: str = "kid"  # first in the report
    reference_method: str | None = None  # what differences and "undertrained" refer to


class Range(_Part):
    """Numbers between two ends, both included."""

    low: float
    high: float
    log: bool = False  # equally likely per factor, not per step
    integer: bool = False  # whole numbers only

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low: {self.low:g} must be below high: {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low: {self.low:g} must be above 0 where log is true")
        return self


def _choices(value: Any) -> Any:
    """A range or a list of values, complained about in one sentence."""
    if isinstance(value, list | tuple) and len(value) > 1:
        return tuple(value)
    keys = set(value) if isinstance(value, dict) else set()
    if isinstance(value, Range) or {"low", "high"} <= keys <= set(Range.model_fields):
        return value
    raise ValueError(
        f"what is tried is a range, {{low: 1, high: 3}} (also log: true, integer: true), or a list of two values or "
        f"more, got {value!r}"
    )


Choices = Annotated[Range | Annotated[tuple[Any, ...], Field(min_length=2)], BeforeValidator(_choices)]
Spaces = dict[str, dict[str, Choices]]  # entry, or '*' for all -> path of an option below the entry -> what is tried


class Search(_Part):
    """Values tried before the comparison, equally often for every entry, on validation images only."""

    trials: int = Field(
        gt=1, le=100_000
    )  # of every entry with anything to search; the first is the entry as it is written
    algorithm: Literal["random", "optuna"] = "random"  # optuna: its tree-structured Parzen estimator
    scheduler: Literal["none", "asha"] = "none"  # asha: trainings whose loss falls behind are stopped; only with Ray
    seed: Seed = 0  # of the values, of the trainings, and of noise that no comparison uses
    num_samples: int = Field(100, gt=1, le=10_000_000)  # images per trial and resolution, and in their reference
    resolutions: tuple[WrittenSize, ...] = Field(min_length=1)  # a trial is judged by its mean over these
    models: Spaces = {}  # options of trained models, such as train.lr; judged by the first method that uses the model
    methods: Spaces = {}  # options of methods, such as frequencies.alpha, on the model as chosen


class Experiment(_Part):
    """One experiment file."""

    schema_version: Literal[1]  # of this format
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100
    )  # also of its report folder and MLflow experiment
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)  # each trains every model once
    data: Options  # what images show
    autoencoder: Options | None = None  # models work on its latents; resolutions stay pixels
    model: Model
    train: Train
    models: dict[Name, ModelEntry] = Field(min_length=1)
    methods: dict[Name, MethodEntry] = Field(min_length=1)
    prompts: Prompts | None = None  # for pipelines that take text
    resolutions: tuple[Pair, ...] = Field(min_length=1)
    search: Search | None = None  # before the comparison
    evaluate: Evaluate = Evaluate()
    resources: Resources = Resources()
    report: Report = Report()

    @model_validator(mode="before")
    @classmethod
    def _nothing_to_train(cls, data: Any) -> Any:
        """A file of pipelines alone needs no size and no recipe."""
        entries = data.get("models") if isinstance(data, dict) else None
        if not isinstance(entries, dict) or not all(isinstance(e, dict) and "pipeline" in e for e in entries.values()):
            return data
        return {"model": {"preset": "pipeline/1"}, "train": {"steps": 0, "precision": "float32"}, **data}

    @field_validator("seeds", "resolutions")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        keys = [item.train if isinstance(item, Pair) else item for item in value]
        if len(set(keys)) != len(keys):
            raise ValueError("an entry occurs twice; write each once")
        return value

    @model_validator(mode="after")
    def _refines_pixels(self) -> Experiment:
        if self.autoencoder is not None and (found := [n for n, m in self.methods.items() if m.refine is not None]):
            raise ValueError(f"methods.{found[0]}.refine renoises pixels; models here work on an autoencoder's latents")
        return self

    @property
    def compared(self) -> tuple[str, ...]:
        """Model entries that a method uses; the others are trained only where one of these starts from them."""
        used = {method.model for method in self.methods.values()}
        return tuple(name for name in self.models if name in used)

    def train_of(self, model: str) -> Train:
        """The recipe of a model entry."""
        return Train.model_validate({**self.train.model_dump(), **self.models[model].train})

    def model_of(self, model: str) -> Model:
        """The size of a model entry."""
        return Model.model_validate({**self.model.model_dump(), **self.models[model].model})

    def sampler_of(self, method: str) -> Sampler:
        """The sampler of a method entry."""
        return Sampler.model_validate({**self.evaluate.sampler.model_dump(), **self.methods[method].sampler})
