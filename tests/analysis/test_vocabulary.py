"""On what scale trained models are compared: what a metric declares, never its name."""

from __future__ import annotations

import pytest

from rpe2d_bench.analysis.vocabulary import describe


@pytest.mark.parametrize(
    ("key", "scale", "heading"),
    [
        ("kid_glyphnet", "ratio", "KID-glyphnet × 1000 ↓"),
        ("kid_local_glyphnet", "ratio", "Local KID-glyphnet × 1000 ↓"),
        ("fid", "ratio", "FID ↓"),
        ("fid_adm", "ratio", "FID (ADM's resize) ↓"),
        ("sfid", "ratio", "sFID ↓"),
        ("fd_infinity_glyphnet", "ratio", "FD∞-glyphnet ↓"),
        ("recall_glyphnet", "odds ratio", "Recall-glyphnet (%) ↑"),
        ("denoising_error", "difference", "Denoising error × 1000 ↓"),
        ("validation_loss", "difference", "Validation loss ↓"),
        ("warmth", "difference", "warmth"),
    ],
)
def test_scales_and_headings(key: str, scale: str, heading: str) -> None:
    metric = describe(key)
    assert (metric.scale, metric.heading) == (scale, heading)
