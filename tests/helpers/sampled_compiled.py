"""Samples of every encoding, compiled and not: python sampled_compiled.py BACKEND LIMIT [NAME ...].

A line of JSON for each: at every size how far the two are apart, new programs, and how often compiled code ran. LIMIT:
programs that torch keeps.

In a process of its own: what checks types and shapes in tests is no code for a compiler.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.encodings import ENCODINGS, FREQUENCIES, LOGIT_BIASES, LOGIT_SCALES, POSITIONS, Grid, build
from rpe2d_bench.encodings.interface import PositionalEncoding
from rpe2d_bench.models import Denoiser, DiT, preset, program
from rpe2d_bench.sampling.loop import sample

TABLES = {"positions": POSITIONS, "frequencies": FREQUENCIES, "logit_scale": LOGIT_SCALES, "bias": LOGIT_BIASES}
SIZES = ((16, 16), (12, 20), (8, 8))  # the train grid and others
IMAGES, BATCH, STEPS = 3, 2, 3  # the second batch is smaller than the first
CASES: dict[str, dict[str, Any]] = {name: {"encoding": {"kind": name}} for name in ENCODINGS}
CASES |= {
    f"{part}/{name}": {"encoding": {"kind": "axial_rope", part: {"kind": name}}}
    for part, table in TABLES.items()
    for name in table
}
CASES |= {
    "random_each_time": {
        "encoding": {"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [8, 8], "inference": "random"}}
    },
    "alternating_scan": {"encoding": {"kind": "none"}, "model": {"scan": "alternate", "stem": "dilated_conv"}},
    "bf16": {"encoding": {"kind": "axial_rope"}, "sampler": {"precision": "bf16"}},
    "without_guidance": {"encoding": {"kind": "axial_rope"}, "sampler": {"guidance": 1.0}},
    **{kind: {"encoding": {"kind": "axial_rope"}, "sampler": {"kind": kind}} for kind in ("heun", "dopri5", "ddpm")},
}


def with_examples(encoding: dict[str, Any]) -> dict[str, Any]:
    """Options that a rule cannot do without."""
    filled = getattr(ENCODINGS[encoding["kind"]], "example", {}) | encoding
    for part, table in TABLES.items():
        if part in filled:
            filled[part] = getattr(table[filled[part]["kind"]], "example", {}) | filled[part]
    return filled


def model(case: dict[str, Any]) -> Denoiser:
    """A small one with random weights everywhere, the encoding's own as well."""
    options = preset("DiT-Nano/4", **case.get("model", {}))
    encoding: PositionalEncoding = build(with_examples(case["encoding"]), width=options.width, heads=options.heads)
    denoiser = Denoiser(DiT(options, channels=1, num_classes=3), encoding).eval()
    rng = torch.Generator().manual_seed(0)
    for weight in denoiser.parameters():
        torch.nn.init.normal_(weight, std=0.1, generator=rng)
    return denoiser


def made(denoiser: Denoiser, options: Sampler, resolution: tuple[int, int]) -> np.ndarray:
    parts: Iterator[np.ndarray] = sample(
        denoiser, options, resolution=resolution, train_grid=Grid(4, 4), indices=np.arange(IMAGES), seed=0,
        batch_size=BATCH, decode=lambda x: x,
    )  # fmt: skip
    return np.concatenate(list(parts))


class Counted:
    """A backend of torch.compile that counts its programs, and the calls of them."""

    def __init__(self, name: str) -> None:
        self._backend = torch._dynamo.lookup_backend(name)
        self.programs = self.calls = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.programs += 1
        run = self._backend(graph, inputs)

        def counted(*given: Any) -> Any:
            self.calls += 1
            return run(*given)

        return counted


def main(name: str, limit: int, names: list[str]) -> None:
    backend, compiled = Counted(name), torch.compile
    torch.compile = lambda *given, **how: compiled(*given, **how, backend=backend)
    program.PROGRAMS = torch._dynamo.config.recompile_limit = limit  # type: ignore[attr-defined]
    for name in names or CASES:
        case = CASES[name]
        options = Sampler.model_validate(
            {"steps": STEPS, "guidance": 2.0, "precision": "float32"} | case.get("sampler", {})
        )
        denoiser, rows = model(case), []
        for size in SIZES:
            plain = made(denoiser, options, size)
            backend.programs = backend.calls = 0
            found = made(denoiser, options.model_copy(update={"compile": True}), size)
            apart = float(np.abs(found - plain).max() / np.abs(plain).max())
            rows.append({"images": len(found), "apart": apart, "programs": backend.programs, "calls": backend.calls})
        sys.stdout.write(json.dumps({"name": name, "sizes": rows}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
