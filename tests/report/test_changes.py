"""Two runs against each other: coinciding cells once, no verdict below five seeds, methods of one run beside."""

from __future__ import annotations

from pathlib import Path

from helpers.synthetic_records import METHODS, asking, make_records

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import describe
from rpe2d_bench.report import render_comparison
from rpe2d_bench.report.two_runs.changes import Changes
from rpe2d_bench.storage.records import Record

TRAIN, TEST = (32, 32), (48, 48)
KID = describe("kid_glyphnet")
SOME = {name: METHODS[name] for name in ("extrapolation", "yarn", "rpe2d")}


def two_runs(seeds: int, factor: float = 3.0) -> tuple[list[Record], list[Record]]:
    """yarn's KID is `factor` times as large in the second run, give or take; the others are the same images."""
    first = make_records(seeds=tuple(range(seeds)), tests=[TEST], methods=SOME)
    second = []
    for record in first:
        update: dict[str, object] = {"run": "run1"}
        if record.method == "yarn":
            kid = record.metrics["kid_glyphnet"] * (factor + 0.1 * (record.seed or 0))
            update |= {"key": record.key + "new", "metrics": record.metrics | {"kid_glyphnet": kid}}
        second.append(record.model_copy(update=update))
    return first, second


def test_what_moved_is_named_from_five_shared_seeds_on() -> None:
    changes = Changes(*(Results(run) for run in two_runs(5)))
    gap = changes.gap("yarn", TRAIN, TEST, KID)
    assert gap is not None
    assert gap.separated
    assert 3.0 < gap.shown.mean < 3.4
    assert changes.sentences == [
        "Trained at 32 px: KID-glyphnet moved by more than noise in 1 of 1 cells. In 2 more both runs hold the same"
        f" images. Worse in {changes.names[1]}: yarn at 48 px."
    ]


def test_fewer_seeds_give_numbers_and_no_verdict() -> None:
    changes = Changes(*(Results(run) for run in two_runs(2)))
    gap = changes.gap("yarn", TRAIN, TEST, KID)
    assert gap is not None
    assert not gap.separated
    assert "which share 2 training seeds. 5 shared training seeds are asked for" in changes.sentences[0]
    cells = {row.label: row.cells[0] for row in changes.table(KID, TRAIN).rows}
    assert cells["yarn"].text.startswith("3.0")
    assert not cells["yarn"].significant
    assert cells["rpe2d"].text == "the same"


def test_methods_that_coincide_count_once() -> None:
    first, second = two_runs(5)
    moved = {r.seed: r for r in second if r.method == "yarn"}
    before = {r.seed: r for r in first if r.method == "yarn"}

    def twin(run: list[Record], of: dict[int | None, Record]) -> list[Record]:
        """rpe2d is yarn's images."""
        same = {seed: {"key": r.key, "metrics": r.metrics} for seed, r in of.items()}
        return [r.model_copy(update=same[r.seed]) if r.method == "rpe2d" else r for r in run]

    changes = Changes(Results(twin(first, before)), Results(twin(second, moved)))
    assert "moved by more than noise in 1 of 1 cells" in changes.sentences[0]
    assert "yarn = rpe2d at 48 px" in changes.sentences[0]


def test_a_method_of_one_run_stands_beside_the_others(tmp_path: Path) -> None:
    first, second = two_runs(3)
    first = [r for r in first if r.method != "rpe2d"]
    first = [asking(r, methods={name: SOME[name] for name in ("extrapolation", "yarn")}) for r in first]
    changes = Changes(Results(first), Results(second))
    table = changes.beside(KID, TRAIN)
    assert [row.method for row in table.rows] == ["extrapolation", "extrapolation", "yarn", "yarn", "rpe2d"]
    assert table.rows[-1].cells[0].value is not None
    page = render_comparison(first, second, tmp_path, tmp_path, tmp_path / "out").read_text()
    assert f"rpe2d, {changes.names[1]}" in page
