"""The figure of papers against their code, and the three claims under it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpe2d_bench.encodings import LOGIT_SCALES, Context, Grid
from scripts.draw_paper_and_code import TRAIN, draw, realised


def test_the_figure_is_reproducible(tmp_path: Path) -> None:
    draw(tmp_path / "one.svg")
    draw(tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert b"</svg>" in (tmp_path / "one.svg").read_bytes()


def test_what_the_page_says_of_it() -> None:
    assert realised("yarn")[0] == 1.0
    assert realised("yarn_turns").max() < 0.53
    assert realised("dype_yarn", 0.0).min() == 1.0
    assert realised("dype_yarn", 1e-3, bounds="code").max() < 0.55
    assert max(float(realised("dype_yarn_2025", t / 20).mean()) for t in range(21)) < 0.6
    at_home = Context(grid=Grid(16, 16), train_grid=TRAIN)
    assert float(LOGIT_SCALES["fit_code"]()(at_home)) == pytest.approx(1.125)
    assert float(LOGIT_SCALES["proportional_log"]()(at_home)) == 1.0
    assert realised("ntk_lumina")[-1] > 0.5 + 1e-3
