from pathlib import Path

import pandas as pd
import pytest

from rpe2d_bench.errors import UserError
from scripts import draw_metric_proof


def proof(path: Path) -> Path:
    """Two corruptions, four strengths, three metrics: one rises, one sees late and falls, one never sees."""
    excess = {"rises": [1, 5, 20, 90], "falls": [0, 0, 30, 10], "blind": [0, 1, -2, 2]}
    rows = [
        {
            "corruption": corruption, "unit": "share", "strength": strength, "metric": metric, "better": "lower",
            "value": 1.0, "floor": 0.5, "floor_spread": 0.1, "excess": excess[metric][rank], "count": 9,
        }
        for corruption in ("blur", "tiling")
        for rank, strength in enumerate((0.1, 0.2, 0.4, 0.8))
        for metric in excess
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_the_table_says_from_where_on_a_metric_sees(tmp_path: Path) -> None:
    lines = draw_metric_proof.table(draw_metric_proof.read(proof(tmp_path / "p.csv"))).splitlines()
    assert lines[0] == "| metric | floor | blur | tiling |"
    assert lines[2] == "| rises | 0.5 ± 0.1 | 0.2 | 0.2 |"
    assert lines[3] == "| falls | 0.5 ± 0.1 | 0.4 ! | 0.4 ! |"
    assert lines[4] == "| blind | 0.5 ± 0.1 |  |  |"


def test_the_figure_has_a_cell_for_every_strength_and_is_reproducible(tmp_path: Path) -> None:
    source = proof(tmp_path / "p.csv")
    drawn = draw_metric_proof.figure(draw_metric_proof.read(source))
    panels = [axes for axes in drawn.axes if axes.get_images()]
    assert [axes.get_title() for axes in panels] == ["blur", "tiling"]
    assert all(axes.get_images()[0].get_array().shape == (3, 4) for axes in panels)
    for name in ("one", "two"):
        draw_metric_proof.main([str(source), str(tmp_path / f"{name}.svg"), str(tmp_path / f"{name}.md")])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.md").read_text() == (tmp_path / "two.md").read_text()


def test_what_is_not_a_proof_is_stated(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is not the CSV of a metric proof"):
        draw_metric_proof.read(tmp_path / "other.csv")
    with pytest.raises(UserError, match=r"proof\.csv proof\.svg proof\.md"):
        draw_metric_proof.main(["only.csv"])
