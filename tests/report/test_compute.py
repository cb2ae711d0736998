"""Quality over training compute: which methods form a line, what counts as compute, when there is no figure."""

from __future__ import annotations

import pytest
from helpers.synthetic_records import ROPE, asking, make_records

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report.formats import table_markdown
from rpe2d_bench.report.sections.compute import compute_curve, compute_needed, families, family, flops_to_reach
from rpe2d_bench.report.sections.cost import training_cost, training_flops

TRAIN = (32, 32)


def budgets(steps: dict[str, int], before: float = 0.0) -> Results:
    """Three methods on models of their own that were trained for so many steps, after stages of `before` FLOPs."""
    methods = {name: {"model": name} for name in steps}
    records = make_records(tests=[TRAIN], methods=methods)
    template = next(record for record in records if record.stage == "train")
    records = [record for record in records if record.stage != "train"]
    for model, number in steps.items():
        spent = {"steps": number, "flops_per_step": 2.0e9, "flops": number * 2.0e9 + before}
        training = template.training.model_copy(update=spent)
        for seed in (0, 1, 2):
            records.append(template.model_copy(update={
                "model": model, "seed": seed, "train_resolution": TRAIN, "key": f"{model}{seed}", "training": training,
            }))  # fmt: skip
    return Results([asking(record, models=dict.fromkeys(steps, ROPE)) for record in records], [])


def test_methods_that_differ_in_a_number_at_the_end_are_one_family() -> None:
    assert [family(name) for name in ("rope_400", "rope_1200", "rope_v2_400", "rope", "rpe2d")] == [
        "rope", "rope", "rope_v2", "rope", "rpe2d",
    ]  # fmt: skip


def test_compute_includes_the_stages_before() -> None:
    results = budgets({"rope_10": 10, "rope_20": 20}, before=5e9)
    assert training_flops(results, "rope_20", TRAIN) == 20 * 2.0e9 + 5e9


def test_a_family_with_several_budgets_becomes_a_line_over_its_flops() -> None:
    results = budgets({"rope_10": 10, "rope_20": 20, "rpe2d_20": 20})
    assert results.main_metric is not None
    assert families(results, results.main_metric, TRAIN) == {
        "rope": [(2e10, "rope_10"), (4e10, "rope_20")],
        "rpe2d": [(4e10, "rpe2d_20")],
    }
    drawn = compute_curve(results, results.main_metric, TRAIN)
    assert drawn is not None
    assert "rope_20: 0.04 TFLOP" in drawn.alternative


def test_compute_to_reach_a_quality_lies_on_the_line_over_log_flops() -> None:
    curve = [(1e12, 0.9), (4e12, 0.5), (8e12, 0.6), (16e12, 0.1)]
    assert flops_to_reach(curve, 0.5) == pytest.approx(4e12)
    assert flops_to_reach(curve, 0.7) == pytest.approx(2e12)  # half way down is half way over the logarithm
    assert flops_to_reach(curve, 0.35) == pytest.approx(8e12 * 2**0.5)  # from the last budget that is not good enough
    assert flops_to_reach(curve, 0.95) == 1e12
    assert flops_to_reach(curve, 0.05) is None


def test_the_table_says_at_which_share_a_family_is_as_good() -> None:
    results = budgets({"rope_10": 10, "rope_40": 40, "two_5": 5, "two_20": 20, "alone": 20})
    values = {"rope_10": 0.9, "rope_40": 0.5, "two_5": 0.7, "two_20": 0.3, "alone": 2.0}
    for record in results.records:
        if record.stage == "measure":
            record.metrics[results.main_metric.key] = values[str(record.method)]  # type: ignore[union-attr]
    table = compute_needed(results, results.main_metric, TRAIN)
    assert table is not None
    assert [table.corner, *table.columns] == ["to be as good as", "rope_40", "two_20"]
    assert table.words == [
        ("rope", "100 %", "not by 200 %"),
        ("two", "25 %", "100 %"),
        ("alone", "not by 50 %", "not by 100 %"),
    ]
    assert "two | 25 % | 100 %" in table_markdown(table)
    assert compute_needed(budgets({"rope_10": 10, "rpe2d_10": 10}), results.main_metric, TRAIN) is None


def test_models_of_equal_compute_need_no_figure() -> None:
    results = budgets({"rope_10": 10, "rpe2d_10": 10})
    assert compute_curve(results, results.main_metric, TRAIN) is None
    assert compute_curve(results, None, TRAIN) is None


def test_the_table_of_trainings_names_what_a_model_starts_from() -> None:
    results = budgets({"first": 10, "second": 20})
    models = {"first": ROPE, "second": ROPE | {"init": {"model": "first"}, "resolution": [48, 48]}}
    table = training_cost(Results([asking(record, models=models) for record in results.records], []))
    assert table is not None
    rows = {row[0]: row for row in table.words}
    assert rows["second"][3] == "first"
    assert rows["second"][1] == "48"
    assert rows["first"][3] == "–"
