"""What an experiment means: every name of the file as the object that it stands for, made once.

Whoever works with an experiment takes the objects from here; nobody reads `{kind: ...}` a second time.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rpe2d_bench.config.experiment import Experiment, MethodEntry, Model, ModelEntry, Options, Sampler, Train
from rpe2d_bench.config.yaml_file import Document, at
from rpe2d_bench.errors import UserError

if TYPE_CHECKING:
    from rpe2d_bench.autoencoders import LatentSpace
    from rpe2d_bench.data import Dataset, DatasetOptions
    from rpe2d_bench.data.crops import CropOptions
    from rpe2d_bench.encodings import EncodingSpec
    from rpe2d_bench.models import DiTOptions
    from rpe2d_bench.sampling.pipeline_folder import PipelineFolder
    from rpe2d_bench.stages.pipeline import Prompts


@dataclass(frozen=True)
class ResolvedModel:
    """An entry of `models`."""

    entry: ModelEntry
    size: Model  # as written
    options: DiTOptions  # that the size names
    recipe: Train
    encoding: EncodingSpec
    crops: CropOptions
    pipeline: PipelineFolder | None = None


@dataclass(frozen=True)
class ResolvedMethod:
    """An entry of `methods`."""

    entry: MethodEntry
    encoding: EncodingSpec  # its model's, with the method's parts
    sampler: Sampler


@dataclass(frozen=True)
class Resolved:
    """An experiment with its objects."""

    experiment: Experiment
    data: DatasetOptions
    dataset: Dataset
    latents: LatentSpace | None  # where models train, if not on pixels
    models: dict[str, ResolvedModel]
    methods: dict[str, ResolvedMethod]
    prompts: Prompts | None = None

    @property
    def downsampling(self) -> int:
        """Pixels of a side of what the model sees as one."""
        return 1 if self.latents is None else self.latents.downsampling

    def with_autoencoder(self, written: Options, latents: LatentSpace) -> Resolved:
        """The same with another form of the autoencoder."""
        experiment = self.experiment.model_copy(update={"autoencoder": written})
        return dataclasses.replace(self, experiment=experiment, latents=latents)


def resolve(experiment: Experiment, document: Document | None = None) -> Resolved:
    """The objects of an experiment whose references hold. Raises UserError, with file and line given a document."""
    from rpe2d_bench import autoencoders, data, diffusion
    from rpe2d_bench.data.absent import ABSENT
    from rpe2d_bench.data.crops import build_crops
    from rpe2d_bench.data.interface import FileDataset
    from rpe2d_bench.encodings import EncodingSpec
    from rpe2d_bench.models import options_of
    from rpe2d_bench.resolve.pipeline_model import pipeline_model, sampler_of

    with at(document, "data"):
        options = data.validate(experiment.data)
        dataset = options.build()
    latents = None
    if experiment.autoencoder is not None:
        with at(document, "autoencoder"):
            latents = autoencoders.describe(autoencoders.validate(experiment.autoencoder))
            if dataset.channels != 3:
                raise UserError("an autoencoder takes images of three channels; write data.channels: 3")
            if latents.ready is not None and not isinstance(dataset, FileDataset) and dataset.revision != ABSENT:
                raise UserError("ready_latents are latents of image files; write data.name: image_folder")
    models: dict[str, ResolvedModel] = {}
    for name, entry in experiment.models.items():
        if entry.pipeline is not None:
            with at(document, "models", name, "pipeline"):
                models[name] = ResolvedModel(entry=entry, **pipeline_model(experiment, entry))
            continue
        size, recipe = experiment.model_of(name), experiment.train_of(name)
        with at(document, "models", name, "encoding"):
            encoding = EncodingSpec.parse(entry.encoding)
        with at(document, "models", name, "crops"):
            crops = build_crops(entry.crops)
        with at(document, "models", name, "model") if entry.model else at(document, "model", "preset"):
            dit = options_of(size)
        with at(document, "models", name, "train") if entry.train else at(document, "train", "path"):
            diffusion.Objective(recipe.path, recipe.prediction).check()
        models[name] = ResolvedModel(entry, size, dit, recipe, encoding, crops)
    methods: dict[str, ResolvedMethod] = {}
    for name, method in experiment.methods.items():
        # Methods that differ in their sampler alone, as a sweep of guidances makes them, share what is read.
        same = (m for m in methods.values() if m.entry.model == method.model)
        alike = next((m.encoding for m in same if m.entry.replacements == method.replacements), None)
        with at(document, "methods", name):
            encoding = alike or models[method.model].encoding.replace(method.replacements, "method")
        sampler = experiment.sampler_of(name)
        place = ("methods", name, "sampler") if method.sampler else ("evaluate", "sampler", "kind")
        with at(document, *place):
            if (folder := models[method.model].pipeline) is None:
                diffusion.SAMPLERS[sampler.kind].check(sampler.kind, sampler.steps, sampler.shift)
            else:
                sampler = sampler_of(experiment, name, folder)
        methods[name] = ResolvedMethod(method, encoding, sampler)
    prompts = None
    if experiment.prompts is not None:
        from rpe2d_bench.stages.pipeline import Prompts

        with at(document, "prompts", "file"):
            prompts = Prompts.read(experiment.prompts.file)
    return Resolved(experiment, options, dataset, latents, models, methods, prompts)
