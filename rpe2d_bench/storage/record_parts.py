"""The parts of a record, with a line under every field: `docs/records.md` is generated from them.

Longer than other files, because every field has its line of documentation.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from rpe2d_bench.config.experiment import Choices, Experiment, Options, Sampler
from rpe2d_bench.resolution import Size

Tokens = tuple[int, int]  # height, width in tokens
Number = Annotated[float | None, BeforeValidator(lambda value: value if value is None or value - value == 0 else None)]

IN_WORDS = re.compile(r"(.+); images per class: (\d+)(?: to (\d+))? generated, (\d+)(?: to (\d+))? real")


class Part(BaseModel):
    """Frozen, without unknown fields; what stands under a field describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Provenance(Part):
    """Where a number comes from."""

    commit: str | None = None
    """of the code, when it runs from a repository"""
    dirty: bool = False
    """whether code or experiments differ from that commit"""
    packages: dict[str, str] = {}
    """package -> version, of those that numbers depend on"""
    python: str = ""
    """version of the interpreter"""
    platform: str = ""
    """operating system and processor family, and the GPU where one was used"""
    device: str = "cpu"
    """what it was computed on: cpu, cuda or mps"""
    command: str = ""
    """what the user typed"""


class SearchTrial(Part):
    """One trial of a search."""

    values: dict[str, Any]
    """path of an option below its entry -> what was tried"""
    status: str
    """ok, failed, or stopped by the scheduler"""
    objective: Number = None
    """the metric's mean over the search's resolutions"""
    error: str | None = None
    """one line, when failed"""


class SearchedEntry(Part):
    """What was tried for one entry of the file."""

    section: Literal["models", "methods"]
    """where the entry stands in the file"""
    entry: str
    """its name"""
    judged_by: str
    """the method whose samples were scored"""
    space: dict[str, Choices]
    """path of an option -> a range or a list of values; empty: nothing was to be tried"""
    default: dict[str, Any] = {}
    """the values as the file writes them"""
    chosen: dict[str, Any] = {}
    """the values of the best trial, which the comparison uses"""
    trials: tuple[SearchTrial, ...] = ()
    """in the order in which they were drawn; the first is the file's"""


class SearchOutcome(Part):
    """How values were chosen before the comparison."""

    trials: int
    """of every entry with anything to search"""
    algorithm: str
    """random or optuna"""
    scheduler: str
    """none or asha"""
    seed: int
    """of values, trainings and noise of the search"""
    num_samples: int
    """images per trial and resolution"""
    resolutions: tuple[Size, ...]
    """pixels; a trial is judged by its mean over these"""
    split: str
    """of the data that trials were scored on; never the comparison's"""
    metric: str
    """name of the value that decides, with its net"""
    better: Literal["lower", "higher"]
    """which way it is better"""
    entries: tuple[SearchedEntry, ...]
    """one per model and method"""


class ResolvedConfig(Part):
    """What was asked for, after defaults, overrides and search."""

    experiment: Experiment
    """as it ran"""
    search: SearchOutcome | None = None
    """how searched values were chosen"""
    arithmetic: tuple[str, ...] = ()
    """what `precision: auto` became, and the measurement behind it"""


class DataCounts(Part):
    """How much data there is."""

    classes: int
    """that images are labelled with"""
    train: int | None
    """images of the training split; null: endless, drawn as they are needed"""
    validation: int | None
    """of the validation split"""
    test: int | None
    """of the test split"""


class Configuration(Part):
    """What all records of one command share."""

    config: ResolvedConfig
    """the experiment that produced them, as resolved"""
    written: dict[str, Any] = {}
    """the same, as the user wrote it"""
    overrides: list[str] = []
    """`--set` arguments"""
    data: DataCounts | None = None
    """images of every split; null in early records"""
    provenance: Provenance = Provenance()
    """code, machine and command"""


class WeightsOrigin(Part):
    """The file that a model's weights were taken from."""

    digest: str
    """sha256 of its tensors"""
    recipe: dict[str, Any] | None
    """what the file says that it was trained under; null where it says nothing"""
    trust: bool
    """whether the experiment asks to use it as it is although that differs"""
    remark: str | None
    """what a reader must know about it"""


class TrainingDetails(Part):
    """A trained model: its size, what it was trained on and what that cost."""

    steps: int
    """of the optimizer; 0: weights that were taken as they are"""
    parameters: int
    """numbers that were trained"""
    heads: int
    """of attention"""
    head_width: int
    """channels of a head"""
    grid: Tokens
    """tokens that it was trained on, height and width"""
    flops_per_step: float
    """of one batch, forward and backward"""
    flops: float
    """of the training and of those that it started from"""
    precision: Literal["float32", "bf16"] | None = None
    """what the training computed in; null in early records of `precision: auto`"""
    data_revision: str | None = None
    """identity of the training images; null in early records"""
    weights: WeightsOrigin | None = None
    """where its weights came from, when that was a file"""


class Counts(Part):
    """Images that were scored."""

    generated: int
    """samples, or real images in their place"""
    reference: int
    """real images that they are compared with"""


class ClassCounts(Part):
    """Images that were scored, by class."""

    generated: tuple[int, int]
    """samples of the rarest class and of the most frequent one"""
    reference: tuple[int, int]
    """real images of the same"""

    def __str__(self) -> str:
        """'25 generated, 18 to 31 real'."""
        sides = [str(low) if low == high else f"{low} to {high}" for low, high in (self.generated, self.reference)]
        return f"{sides[0]} generated, {sides[1]} real"


class AttentionDetails(Part):
    """Attention of a method's model against the same model on the grid that it was trained on."""

    tokens: int
    """of the grid now"""
    nats: Number
    """entropy of attention now, mean over layers and heads"""
    relative: Number
    """the same, divided by the logarithm of the tokens"""
    train_tokens: int
    """of the train grid"""
    train_nats: Number
    """entropy on the train grid"""
    train_relative: Number
    """the same, divided by the logarithm of its tokens"""
    deviation_by_layer: tuple[Number, ...]
    """relative entropy minus that on the train grid"""
    seen: str
    """the images and times that were looked at"""


class DenoisingDetails(Part):
    """The training loss on real images at the test resolution."""

    by_time: dict[str, Number]
    """time (0 = data, 1 = noise) -> mean loss"""
    seen: str
    """the images and times that were looked at"""


class DenoisingErrorDetails(Part):
    """What a model makes of noised held-out real images at the test resolution."""

    by_time: dict[str, Number]
    """time (0 = data, 1 = noise) -> mean squared error of the clean image"""
    standard_error: float
    """of the mean over images, which all methods share"""
    seen: str
    """the images and times that were looked at"""


class MeasurementDetails(Part):
    """How the values of a cell, a floor or a reconstruction were measured."""

    counts: Counts | None = None
    """images on each side; null where nothing was sampled"""
    resolution: Size | None = None
    """pixels of the images that were scored; null where they differ"""
    resize: dict[str, str] = {}
    """view -> how images reached the size that its net sees"""
    quantised: str = "uint8"
    """the numbers that images were rounded to before they were scored"""
    notes: dict[str, str] = {}
    """metric -> what limits it at these counts"""
    better: dict[str, str] = {}
    """metric -> lower or higher"""
    warnings: tuple[str, ...] = ()
    """what was unusual about the images"""
    labels: str | None = None
    """how classes were given to samples: reference, balanced or iid; null in early records"""
    class_counts: ClassCounts | None = None
    """images per class on each side; null in early records"""
    data_revision: str | None = None
    """identity of the reference images; null in early records"""
    psnr: Number = None
    """dB, of real images through the autoencoder"""
    attention: AttentionDetails | None = None
    """where attention_entropy was asked for"""
    denoising: DenoisingDetails | None = None
    """where denoising_loss was asked for"""
    denoising_error: DenoisingErrorDetails | None = None
    """where denoising_error was asked for"""

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, given: Any) -> Any:
        """Until November 26, 2026, `labels` told of the class counts in words."""
        found = IN_WORDS.fullmatch(str(given.get("labels"))) if isinstance(given, dict) else None
        if found is None:
            return given
        kind, *counts = found.groups()
        low_high = [(int(low), int(high or low)) for low, high in (counts[:2], counts[2:])]
        return given | {"labels": kind, "class_counts": {"generated": low_high[0], "reference": low_high[1]}}


class SamplingDetails(Part):
    """How the model of a cell was used."""

    sampler: Sampler | None = None
    """as it ran, with the precision that auto became; null where nothing was sampled"""
    conditioning: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """log2 zoom and centre y, x that the model was given; zeros: complete images"""
    replacements: Options = {}
    """parts of the encoding that the method replaced"""
    trained_encoding: Options
    """the encoding that the model was trained with"""
    crops: Options = {"kind": "none"}
    """the crops that it was trained with"""
    generated_resolution: Size
    """pixels as generated; what is enlarged afterwards has fewer than the test resolution"""
    refined_from: float | None = None
    """t to which the enlarged images were renoised; null where sampling began with noise"""
    grid: Tokens | None = None
    """tokens as generated, height and width; null in early records of models with an autoencoder"""
    coincides_with: tuple[str, ...] = ()
    """methods that realise the same numbers here and share the samples"""
    realised: str = ""
    """digest of the numbers that the encoding gives here"""
    sample_key: str = ""
    """content address of the samples"""
    reference_key: str = ""
    """content address of the real images that they are compared with"""


class Artifacts(Part):
    """Files of a result, as paths below the store."""

    curve: str | None = None
    """loss, learning rate and speed of a training, a JSON object a line"""
    checkpoint: str | None = None
    """weights of a trained model"""
    samples: str | None = None
    """images with their labels; of a floor, real ones"""
    observations: str | None = None
    """what the nets saw in the samples"""
    reference_observations: str | None = None
    """what they saw in the real images"""
    errors: str | None = None
    """denoising errors by image and time"""

    def below(self, store: Path) -> Artifacts:
        """The same files, from the store's place on."""
        return Artifacts(**{name: str(store / path) for name, path in self if path is not None})
