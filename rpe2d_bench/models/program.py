"""A model as a compiled program, by torch.compile."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Encoding
from rpe2d_bench.errors import UserError
from rpe2d_bench.models.denoiser import Denoiser
from rpe2d_bench.models.pair_logits import PROGRAMS, kernel_takes


def compiled(function: Callable[..., Tensor], device: str, option: str, **how: Any) -> Callable[..., Tensor]:
    """torch.compile with those arguments. On a CPU it needs a C++ compiler: said before the first call, not during it.

    Raises UserError, which names the option that asked for it, where there is none.
    """
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")  # what torch takes where CXX names none
    if device == "cpu" and shutil.which(os.environ.get("CXX") or usual) is None:
        raise UserError(f"{option}: no C++ compiler was found; install g++ or set CXX, or write compile: false")
    return torch.compile(function, **how)


def without_gradient(denoiser: Denoiser, device: str, option: str) -> Callable[..., Tensor]:
    """`denoiser.forward` as one program for each grid and number of images, on CUDA played back as a graph.

    Programs serve every model of the same sizes. Past PROGRAMS of them torch would go on uncompiled; here all are
    forgotten, and those that are asked for again are made anew. Two kinds of biases are left uncompiled, with a
    warning: those that FlexAttention evaluates, which is compiled by itself, and those that are not elementwise.

    Raises UserError for what torch can't make one program of.
    """
    on_cuda = device == "cuda"
    how = {"mode": "reduce-overhead"} if on_cuda else {}
    run = compiled(denoiser, device, option, fullgraph=True, dynamic=False, **how)
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, PROGRAMS)

    def forward(x_BCYX: Tensor, t_B: Tensor, labels_B: Tensor, encoding: Encoding, crop_B3: Tensor) -> Tensor:
        bias = encoding.bias
        if bias is not None and (not bias.pair.elementwise or kernel_takes(bias, _like_q(x_BCYX))):
            warnings.warn(f"{option}: the bias {type(bias.pair).__name__} is sampled uncompiled", stacklevel=2)
            out_BCYX: Tensor = denoiser(x_BCYX, t_B, labels_B, encoding, crop_B3)
            return out_BCYX
        given = (x_BCYX, t_B.contiguous(), labels_B, _in_tensors(encoding, x_BCYX.device), crop_B3)
        try:
            try:
                out_BCYX = run(*given)
            except torch._dynamo.exc.FailOnRecompileLimitHit:
                torch.compiler.reset()
                out_BCYX = run(*given)
        except torch._dynamo.exc.TorchDynamoException as error:
            why = str(error).partition("\n")[0]
            raise UserError(
                f"{option}: torch can't compile this model and encoding; write compile: false ({why})"
            ) from error
        return out_BCYX.clone() if on_cuda else out_BCYX  # a graph writes its next result to the same place

    return forward


def _in_tensors(encoding: Encoding, device: torch.device) -> Encoding:
    """With a logit scale that is no number, of which each would be a program of its own."""
    scale = encoding.logit_scale
    if isinstance(scale, Tensor):
        return encoding
    return replace(encoding, logit_scale=torch.full((1,), scale, dtype=torch.float32, device=device))


def _like_q(x_BCYX: Tensor) -> Tensor:
    """Of the dtype that attention will see."""
    device = x_BCYX.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x_BCYX.dtype
    return x_BCYX.new_empty(0, dtype=dtype)
