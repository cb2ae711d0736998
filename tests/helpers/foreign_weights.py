"""Small deterministic weights in the layout of SiT, DiT and FiTv2, which the golden files were made with."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from rpe2d_bench.encodings import AxialSinCos, Context, Grid
from rpe2d_bench.models.foreign_sizes import TABLE

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
    blocks = (("mlp.fc1", 4 * D, D), ("mlp.fc2", D, 4 * D), ("adaLN_modulation.1", 6 * D, D))
    shapes = _shapes(classes, out, blocks) | {"x_embedder.proj.weight": (D, 4, 2, 2)}
    state = _filled(shapes, 0.1)
    table = AxialSinCos(D)(Context(grid, grid)).additive_BND
    assert table is not None
    return state | {TABLE: torch.cat(table.chunk(2, dim=-1)[::-1], dim=-1)}


def fit(classes: int = CLASSES) -> dict[str, Tensor]:
    """A small FiTv2, as its state_dict has it."""
    D = WIDTH
    hidden, rank = 4 * D * 2 // 3, D // 4
    gated = (("mlp.fc1_g", hidden, D), ("mlp.fc1_x", hidden, D), ("mlp.fc2", D, hidden))
    blocks = (*gated, ("adaLN_modulation.1", rank, D), ("adaLN_modulation.2", 6 * D, rank))
    shapes = _shapes(classes, 4 * 4, blocks) | {"x_embedder.proj.weight": (D, 4 * 4)}
    shapes |= {"global_adaLN_modulation.1.weight": (6 * D, D), "global_adaLN_modulation.1.bias": (6 * D,)}
    return _filled(shapes, 0.15)


def _shapes(classes: int, out: int, blocks: tuple[tuple[str, int, int], ...]) -> dict[str, tuple[int, ...]]:
    """Of every tensor but the embedding of patches; blocks: name, rows and columns beside the attention's."""
    D = WIDTH
    matrices = [("t_embedder.mlp.0", D, 256), ("t_embedder.mlp.2", D, D), ("final_layer.linear", out, D)]
    matrices.append(("final_layer.adaLN_modulation.1", 2 * D, D))
    attention = (("attn.qkv", 3 * D, D), ("attn.proj", D, D))
    matrices += [(f"blocks.{i}.{name}", *shape) for i in range(DEPTH) for name, *shape in (*attention, *blocks)]
    made: dict[str, tuple[int, ...]] = {"y_embedder.embedding_table.weight": (classes + 1, D)}
    made["x_embedder.proj.bias"] = (D,)
    for name, rows, columns in matrices:
        made |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    return made


def _filled(shapes: dict[str, tuple[int, ...]], scale: float) -> dict[str, Tensor]:
    scales = {"t_embedder": 0.02, "y_embedder": 1.0}  # the first as their initial weights
    return {name: numbers(name, shape, scales.get(name.split(".")[0], scale)) for name, shape in shapes.items()}
