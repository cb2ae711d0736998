"""The page of the paper's claims says what the records say: the values that each verdict rests on."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rpe2d_bench

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "docs/claims.md").read_text().splitlines()


@cache
def frame(report: str) -> pd.DataFrame:
    return rpe2d_bench.load_records(ROOT / "reports" / report / "records.jsonl")


def mean(report: str, metric: str, method: str, pixels: int) -> float:
    found = frame(report)
    of_method = (found.method == method) & (found.test_height == pixels) & (found.test_width == pixels)
    return float(found[of_method & (found.metric == metric)].value.mean())


@pytest.mark.parametrize(
    ("report", "metric", "cells", "written"),
    [
        (
            "res_generalization_leaves",
            "kid_efficientnet-lite0",
            [("rpe2d_no_crops", 96), ("interpolation", 96), ("upscaled", 96)],
            "EfficientNet {:.2f}, interpolation {:.2f}, resizing {:.2f}",
        ),
        (
            "low_resolution",
            "kid_glyphnet",
            [("rpe2d", 20), ("fractional", 20), ("resized", 20), ("extrapolation", 20)],
            "{:.2f}; RoPE with positions moved apart {:.2f}; resizing {:.2f}; RoPE as it was trained {:.2f}",
        ),
        (
            "inheritance",
            "kid_glyphnet",
            [
                ("rpe2d", 16),
                ("rope", 16),
                ("first_rpe2d", 16),
                ("first_rope", 16),
                ("rpe2d_replay", 16),
                ("rope_replay", 16),
            ],
            "{:.2f}, RoPE {:.2f}; before it {:.3f} and {:.3f}; with a quarter of replay {:.2f} and {:.2f}",
        ),
        (
            "ablation",
            "kid_glyphnet",
            [("random_none", 48), ("random_native", 48), ("random_train", 48)],
            "without crops {:.2f}, with them {:.2f} to {:.2f}",
        ),
        (
            "rpe2d_versions",
            "kid_glyphnet",
            [
                (method, pixels)
                for method in ("rpe2d_v1", "only_scale", "only_shift", "rpe2d_v2")
                for pixels in (48, 64)
            ],
            "without {:.2f} and {:.2f}, with the scale {:.2f} and {:.2f}, with the shift {:.2f} and {:.2f}, "
            "with both {:.2f} and {:.2f}",
        ),
    ],
)
def test_values_of_cells(report: str, metric: str, cells: list[tuple[str, int]], written: str) -> None:
    numbers = written.format(*(mean(report, metric, *cell) for cell in cells))
    assert any(f"/{report}.yaml" in line and numbers in line for line in LINES), numbers


def test_validation_losses_of_multi_stage_training() -> None:
    found = frame("multi_stage")
    losses = found[found.metric == "validation_loss"].groupby("model").value.mean()
    pairs = [(f"rpe2d_{after}", f"rpe2d_scratch_{alone}") for after, alone in ((200, 400), (600, 800), (1000, 1200))]
    (line,) = [line for line in LINES if "/multi_stage.yaml" in line]
    for two_stages, scratch in pairs:
        assert f"{losses[two_stages]:.3f} and {losses[scratch]:.3f}" in line


@pytest.mark.parametrize("name", ["emoji_64", "clothing_64_seeds"])
def test_differences_in_denoising_error(name: str) -> None:
    """The interval of a paired t over seeds, in per cent of interpolation's mean."""
    from rpe2d_bench.analysis.statistics import paired_t

    found = frame(name)
    (line,) = [line for line in LINES if f"/{name}.yaml" in line]
    for pixels in (96, 128):
        of_size = found[
            (found.metric == "denoising_error") & (found.test_height == pixels) & (found.test_width == pixels)
        ]
        wide = of_size.pivot(index="seed", columns="method", values="value")
        tested = paired_t(list(wide["rpe2d_no_crops"] - wide["interpolation"]))
        share = [100 * value / wide["interpolation"].mean() for value in (tested.mean, tested.low, tested.high)]
        assert "{:.1f} % ({:.1f} to {:.1f})".format(*share) in line


def test_ratios_on_digits() -> None:
    """Of interpolation's KID: the interval of a paired t over five seeds on the logarithm."""
    from rpe2d_bench.analysis.statistics import paired_t

    found = frame("res_generalization_seeds")
    (line,) = [line for line in LINES if "/res_generalization_seeds.yaml" in line]
    for pixels in (48, 64):
        of_size = found[(found.metric == "kid_glyphnet") & (found.test_height == pixels)]
        wide = of_size[of_size.method.notna()].pivot(index="seed", columns="method", values="value")
        for method in ("rpe2d_no_crops", "random_stride"):
            tested = paired_t(list(np.log(wide[method] / wide["interpolation"])))
            mean, low, high = np.exp([tested.mean, tested.low, tested.high])
            assert re.search(rf"{mean:.2f} times \((95 %: )?{low:.2f} to {high:.2f}\)", line), (method, pixels)
    losses = found[found.metric == "validation_loss"].groupby("model").value.mean()
    assert f"validation loss {losses['rpe2d_no_crops']:.3f} and {losses['rope']:.3f}" in line
