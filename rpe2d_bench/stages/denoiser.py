"""The model of a training stage: untrained, as training starts, and trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.errors import UserError
from rpe2d_bench.stages import foreign_file
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.stages.tensor_file import from_safetensors
from rpe2d_bench.stages.weights_file import WeightsFile

if TYPE_CHECKING:
    from torch import Tensor

    from rpe2d_bench.encodings import EncodingSpec
    from rpe2d_bench.models import Denoiser
    from rpe2d_bench.stages.train import TrainStage

__all__ = ["WEIGHTS", "WeightsFile", "fits", "fresh_denoiser", "load_denoiser", "starting_denoiser"]

WEIGHTS = "weights.safetensors"
MILESTONE = "weights-{step}.safetensors"  # as they were averaged after a step of train.milestones
NEW = "dit.crop_embedding."  # what a model may have that the one it starts from has not


def fresh_denoiser(stage: TrainStage) -> Denoiser:
    """The untrained model of a stage; its initial weights depend on the seed alone."""
    import torch

    from rpe2d_bench.diffusion import Objective
    from rpe2d_bench.models import Denoiser, DiT, options_of

    options = options_of(stage.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stage.seed)
        dit = DiT(
            options,
            channels=stage.model_channels,
            num_classes=stage.num_classes,
            micro_conditioning=stage.crops.kind != "none",
        )
        objective = Objective(stage.recipe.path, stage.recipe.prediction)
        return Denoiser(dit, stage.encoding.build(width=options.width, heads=options.heads), objective)


@contextmanager
def without_values() -> Iterator[None]:
    """Models made here have shapes and nothing else; filling their weights would import seconds of torch's compiler."""
    import torch
    from torch.overrides import TorchFunctionMode

    fills = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.nn.init.normal_, torch.nn.init.uniform_)

    class Unfilled(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            return (args[0] if args else kwargs["tensor"]) if func in fills else func(*args, **kwargs)

    with torch.device("meta"), Unfilled():
        yield


def draws_of_its_own(stage: TrainStage) -> bool:
    """Whether the stage's model draws random numbers in training: random positions and a stem do, the grid does not."""
    import torch

    from rpe2d_bench.encodings.randomness import draws
    from rpe2d_bench.models import preset

    if stage.model.stem != "none":
        return True
    options = preset(stage.model.preset)
    with torch.random.fork_rng(devices=[]):  # a learned table starts at random
        return draws(stage.encoding.build(width=options.width, heads=options.heads), stage.grid)


def starting_denoiser(stage: TrainStage, context: RunContext) -> Denoiser:
    """The model as its training starts: with the averaged weights of another model, from a file, or untrained."""
    from safetensors.torch import load_file

    denoiser = fresh_denoiser(stage)
    if stage.start is not None:
        fill(
            denoiser,
            load_file(stage.start.make(context) / WEIGHTS),
            f"the model it starts from ({stage.start.key[:8]})",
        )
    elif stage.weights is not None:
        fill(denoiser, _prefixed(_tensors(stage.weights)), f"checkpoint {stage.weights.path}")
    return denoiser


def _tensors(weights: WeightsFile, *, shapes_only: bool = False) -> dict[str, Tensor]:
    """The tensors of a file by our names; on the meta device where only shapes are asked for."""
    path = Path(weights.path)
    if weights.format == "ours":
        return from_safetensors(path, shapes_only=shapes_only)
    return foreign_file.weights_of(path, weights.format, shapes_only=shapes_only)


def _prefixed(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of a denoiser, also of a file that holds the transformer alone."""
    alone = not any(name.startswith("dit.") for name in named)
    return {f"dit.{name}" if alone else name: value for name, value in named.items()}


def fits(stage: TrainStage) -> None:
    """Raises UserError where the file that a training starts from holds the weights of another model."""
    assert stage.weights is not None
    if not stage.weights.present:
        return
    with without_values():
        own = fresh_denoiser(stage).state_dict()
    given = _prefixed(_tensors(stage.weights, shapes_only=True))
    _require_same_shapes(own, given, f"checkpoint {stage.weights.path}")


def fill(denoiser: Denoiser, weights: dict[str, Tensor], source: str) -> None:
    """Load weights by name; an embedding of crops that the source lacks stays as initialised.

    Raises UserError naming the first weight that is missing, unknown or of another shape.
    """
    own = denoiser.state_dict()
    _require_same_shapes(own, weights, source)
    denoiser.load_state_dict({**own, **{name: value for name, value in weights.items() if name in own}})


def _require_same_shapes(own: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> None:
    missing = [name for name in own if name not in given and not name.startswith(NEW)]
    unknown = [name for name in given if name not in own and not name.startswith(NEW)]
    if missing or unknown:
        what = f"lacks {missing[0]!r}" if missing else f"has {unknown[0]!r}, which this model does not know"
        raise UserError(
            f"{source} {what} ({len(missing)} of {len(own)} weights missing, {len(unknown)} unknown); "
            "model.preset, encoding and the number of classes must be those of the weights"
        )
    for name, value in given.items():
        if name in own and own[name].shape != value.shape:
            raise UserError(
                f"{source}: {name!r} has the shape {list(value.shape)}, this model needs {list(own[name].shape)}; "
                "model.preset, data and encoding must be those of the weights"
            )


def load_denoiser(stage: TrainStage, folder: Path, encoding: EncodingSpec) -> Denoiser:
    """The trained model with its encoding, or one that takes its place, ready to sample."""
    from safetensors.torch import load_file

    if not (folder / WEIGHTS).is_file():
        raise UserError(
            f"the weights of the model {stage.key[:8]} were left where it was trained; bring them, or delete {folder} "
            "to train it again"
        )
    denoiser = fresh_denoiser(stage)
    denoiser.load_state_dict(load_file(folder / WEIGHTS))
    if encoding != stage.encoding:
        options = denoiser.dit.options
        learned = denoiser.encoding.state_dict()
        denoiser.encoding = encoding.build(width=options.width, heads=options.heads)
        denoiser.encoding.load_state_dict(learned)
    return denoiser.eval().requires_grad_(False)
