"""Small deterministic weights in the layout of SiT and DiT, as the golden files of the authors' code were made with."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from rpe2d_bench.encodings import AxialSinCos, Context, Grid
from rpe2d_bench.models.foreign import TABLE

WIDTH, DEPTH, CLASSES = 64, 4, 3  # DiT-Nano
TRAINED = Grid(4, 4)


def numbers(name: str, shape: tuple[int, ...], scale: float) -> Tensor:
    """The same on every machine: a sine of the index, its phase from the name."""
    index = np.arange(math.prod(shape), dtype=np.float64)
    phase = sum(map(ord, name)) % 97
    values = np.sin(1.0 + phase + 12.9898 * index + 0.37 * index**1.5)
    return torch.from_numpy((scale * values).reshape(shape)).float()


def theirs(grid: Grid = TRAINED, classes: int = CLASSES) -> dict[str, Tensor]:
    """A small SiT or DiT with a learned variance, as its state_dict has it."""
    D, out = WIDTH, 2 * 2 * 8
    shapes: dict[str, tuple[int, ...]] = {
        "x_embedder.proj.weight": (D, 4, 2, 2),
        "x_embedder.proj.bias": (D,),
        "t_embedder.mlp.0.weight": (D, 256),
        "t_embedder.mlp.0.bias": (D,),
        "t_embedder.mlp.2.weight": (D, D),
        "t_embedder.mlp.2.bias": (D,),
        "y_embedder.embedding_table.weight": (classes + 1, D),
    }
    for i in range(DEPTH):
        for name, rows, columns in (
            ("attn.qkv", 3 * D, D),
            ("attn.proj", D, D),
            ("mlp.fc1", 4 * D, D),
            ("mlp.fc2", D, 4 * D),
            ("adaLN_modulation.1", 6 * D, D),
        ):
            shapes |= {f"blocks.{i}.{name}.weight": (rows, columns), f"blocks.{i}.{name}.bias": (rows,)}
    shapes |= {"final_layer.linear.weight": (out, D), "final_layer.linear.bias": (out,)}
    shapes |= {"final_layer.adaLN_modulation.1.weight": (2 * D, D), "final_layer.adaLN_modulation.1.bias": (2 * D,)}
    scales = {"t_embedder": 0.02, "y_embedder": 1.0}  # the first as their initial weights
    state = {n: numbers(n, shape, scales.get(n.split(".")[0], 0.1)) for n, shape in shapes.items()}
    table = AxialSinCos(D)(Context(grid, grid)).additive_BND
    assert table is not None
    return state | {TABLE: torch.cat(table.chunk(2, dim=-1)[::-1], dim=-1)}
