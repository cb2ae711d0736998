"""Images of somebody's diffusers pipeline: its own scheduler and guidance, our noise, our rules in its transformer.

Shape suffixes: B batch, C channels, Y X pixels.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator

from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.encodings.adapters import Rules, put
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.sampling.pipeline_folder import PipelineFolder, diffusers, index_of

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "float16": torch.float16}


def load(folder: PipelineFolder, dtype: str, device: str) -> Any:
    """The pipeline, ready to be called. Nothing is downloaded and no code of the folder is run."""
    package = diffusers()
    package.utils.logging.disable_progress_bar()
    cls = getattr(package, folder.pipeline, None)
    if cls is None:
        raise UserError(f"pipeline {folder.path}: this diffusers has no {folder.pipeline}; install a newer one")
    try:
        pipeline = cls.from_pretrained(
            folder.path, local_files_only=True, torch_dtype=DTYPES[dtype], use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"pipeline {folder.path} cannot be loaded ({reason})") from None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def asks_for(folder: PipelineFolder) -> Literal["prompt", "class_labels"]:
    """What a pipeline is told to draw. Raises UserError where it is neither."""
    names = _parameters(getattr(diffusers(), folder.pipeline, None), folder)
    for name in ("prompt", "class_labels"):
        if name in names:
            return name
    raise UserError(f"{folder.pipeline} takes neither prompts nor class labels, so there is nothing to ask it for")


def takes_sizes(folder: PipelineFolder) -> bool:
    """Whether it makes images that are not square."""
    return "height" in _parameters(getattr(diffusers(), folder.pipeline, None), folder)


def scheduler_of(folder: PipelineFolder) -> str:
    """Name of the class of its scheduler."""
    return str(index_of(folder.path).get("scheduler", ["", "unknown"])[1])


@dataclass(frozen=True)
class Asked:
    """What every image shows: one prompt or class label per image, in the order of the indices."""

    kind: Literal["prompt", "class_labels"]
    values: Sequence[Any]


def sample(
    pipeline: Any,
    rules: Rules | None,
    sampler: Sampler,
    *,
    asked: Asked,
    resolution: Resolution,
    indices: np.ndarray,
    seed: int,
    batch_size: int,
) -> Iterator[np.ndarray]:
    """Numbers from 0 to 1, [B, Y, X, 3], batch by batch; an image's noise depends on (seed, index, size) alone.

    rules: None leaves the transformer as it is.
    """
    restore = None if rules is None else put(pipeline.transformer, rules)
    side = pipeline.transformer.config.get("sample_size")
    try:
        options = _options(pipeline, sampler, resolution)
        for start in range(0, len(indices), batch_size):
            piece = indices[start : start + batch_size]
            values = [asked.values[start + number] for number in range(len(piece))]
            with torch.inference_mode():
                images = pipeline(**{asked.kind: values}, generator=[_generator(seed, i) for i in piece], **options)[0]
            yield np.asarray(images)
    finally:
        if restore is not None:
            restore()
        if side is not None and pipeline.transformer.config.get("sample_size") != side:
            pipeline.transformer.register_to_config(sample_size=side)


def to_images(images_BYXC: np.ndarray) -> np.ndarray:
    """uint8 [B, 3, Y, X] of numbers in [0, 1]; what is not finite becomes mid-grey."""
    finite = np.where(np.isfinite(images_BYXC), images_BYXC, 0.5)
    return np.ascontiguousarray(np.rint(finite.clip(0, 1) * 255).astype(np.uint8).transpose(0, 3, 1, 2))


def _options(pipeline: Any, sampler: Sampler, resolution: Resolution) -> dict[str, Any]:
    """How the pipeline is called, of what its call takes."""
    names = inspect.signature(pipeline.__call__).parameters
    options: dict[str, Any] = {
        "num_inference_steps": sampler.steps,
        "guidance_scale": sampler.guidance,
        "output_type": "np",
        "return_dict": False,
    }
    if "height" in names:
        options |= {"height": resolution.height, "width": resolution.width}
    else:  # DiTPipeline reads the side of its squares from the transformer
        latent = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        pipeline.transformer.register_to_config(sample_size=resolution.height // latent)
    if "use_resolution_binning" in names:
        options["use_resolution_binning"] = False  # which would make another size and crop it
    if "clean_caption" in names:
        options["clean_caption"] = False  # which depends on what is installed
    return options


def _generator(seed: int, index: int) -> Generator:
    """Of one image, on the CPU whatever computes, so that every device starts from the same noise."""
    digest = hashlib.blake2b(f"pipeline {seed} {index}".encode(), digest_size=7).digest()
    return Generator().manual_seed(int.from_bytes(digest, "big"))


def _parameters(cls: Any, folder: PipelineFolder) -> list[str]:
    if cls is None:
        raise UserError(f"pipeline {folder.path}: this diffusers has no {folder.pipeline}; install a newer one")
    return list(inspect.signature(cls.__call__).parameters)
