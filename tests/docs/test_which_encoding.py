"""The page of advice says what the records say: every value of every line."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pandas as pd

import rpe2d_bench

ROOT = Path(__file__).parents[2]
LINES = [line for line in (ROOT / "docs/which_encoding.md").read_text().splitlines() if "`, " in line]
METRICS = {
    "res_generalization_leaves": "kid_efficientnet-lite0",
    "emoji_64": "denoising_error",
    "clothing_64_seeds": "denoising_error",
}


@cache
def cells(report: str) -> pd.DataFrame:
    frame = rpe2d_bench.load_records(ROOT / "reports" / report / "records.jsonl")
    kid = METRICS.get(report, "kid_glyphnet")
    return frame[frame.method.notna() & (frame.metric == kid) & (frame.test_height == frame.test_width)]


def test_every_value_is_the_records() -> None:
    assert len(LINES) == 12
    for line in LINES:
        report, seeds = re.search(r"`(\w+)`, (\d) seeds?: ", line).groups()  # type: ignore[union-attr]
        found = re.findall(r"(\w+)@(\d+) ([\d.]+\d)", line)
        assert len(found) >= 3, line
        for method, pixels, value in found:
            frame = cells(report)
            chosen = frame[(frame.method == method) & (frame.test_height == int(pixels))]
            assert chosen.seed.nunique() == int(seeds), (line, method)
            mean = chosen.value.mean()
            shown = f"{1000 * mean:.1f}" if METRICS.get(report) == "denoising_error" else f"{mean:.2f}"
            assert shown == value, (report, method, pixels)
