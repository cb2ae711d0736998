"""No winner where the numbers allow no ranking: an untrained reference, real images far apart."""

from __future__ import annotations

import io

import pytest
from helpers.synthetic_records import make_records
from rich.console import Console

from rpe2d_bench.analysis.judgement import judged_by
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report.sections.head import head_of
from rpe2d_bench.report.terminal import terminal_table
from rpe2d_bench.storage.records import Record

TRAIN = (32, 32)


def with_metric(records: list[Record], prefix: str, value: float, **where: object) -> list[Record]:
    """The records with every value of one metric replaced where all fields are as given."""
    changed = []
    for record in records:
        if all(getattr(record, name) == wanted for name, wanted in where.items()):
            new = {name: value if name.startswith(prefix) else old for name, old in record.metrics.items()}
            record = record.model_copy(update={"metrics": new})
        changed.append(record)
    return changed


def printed(records: list[Record]) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal_table(records))
    return console.export_text()


def test_a_sound_run_names_its_winner() -> None:
    results = Results(make_records(), [])
    assert not results.refusals
    assert results.best(TRAIN, (48, 48), results.main_metric)
    assert not any("No winner" in caution for caution in head_of(results).cautions)


def test_a_reference_that_has_not_learned_leaves_no_winner() -> None:
    records = make_records()
    for method in ("extrapolation", "interpolation", "ntk", "yarn"):  # all on the model of the reference
        records = with_metric(records, "accuracy", 0.1, method=method, test_resolution=TRAIN)
    results = Results(records, [])
    metric = results.main_metric
    assert set(results.refusals) == {(TRAIN, test) for test in results.resolutions[TRAIN]}
    assert all(results.best(TRAIN, test, metric) == [] for test in results.resolutions[TRAIN])
    head = head_of(results)
    assert head.answers == ("Above 1× nothing may be concluded.",)
    assert head.cautions[0].startswith("No winner is named: yarn has not learned")
    assert {cell.text for row in head.grids[TRAIN].rows for cell in row.cells[:-1]} == {"–", "the same", "not ranked"}
    assert ("rope", TRAIN) in results.undertrained
    assert "No winner is named: yarn has not learned" in " ".join(printed(records).split())


def test_a_floor_as_far_as_the_best_method_is_not_ranked() -> None:
    results = Results(make_records(), [])
    metric = results.main_metric
    assert metric is not None
    best = results.best(TRAIN, (48, 48), metric)[0]
    mean = results.estimate(best, TRAIN, (48, 48), metric)
    assert mean is not None
    records = with_metric(
        make_records(), "kid", 0.9 * mean.mean / metric.factor, stage="floor", test_resolution=(48, 48)
    )
    results = Results(records, [])
    assert list(results.refusals) == [(TRAIN, (48, 48))]
    assert "against other real images" in results.refusals[TRAIN, (48, 48)]
    assert results.best(TRAIN, (48, 48), metric) == []
    assert results.best(TRAIN, (64, 64), metric)


@pytest.mark.parametrize("value", [0.0, -0.01])
def test_a_floor_at_or_below_zero_is_sound(value: float) -> None:
    assert not Results(with_metric(make_records(), "kid", value, stage="floor"), []).refusals


@pytest.mark.parametrize(("noise", "ranked"), [(0.5, False), (2.0, True)])
def test_samples_further_from_real_images_than_noise_are_not_ranked(noise: float, ranked: bool) -> None:
    """At the size nearest to the train resolution, whatever happens at others."""
    records = make_records()
    sound = Results(records, [])
    metric = sound.main_metric
    assert metric is not None
    means = {
        test: sound.estimate(sound.best(TRAIN, test, metric)[0], TRAIN, test, metric)
        for test in sound.resolutions[TRAIN]
    }
    floors = [record for record in records if record.stage == "floor"]
    for floor in floors:
        mean = means[floor.test_resolution].mean / metric.factor
        share = noise if floor.test_resolution == TRAIN else 0.1
        values = {name: share * mean if name.startswith("kid") else value for name, value in floor.metrics.items()}
        records.append(floor.model_copy(update={"stage": "noise", "metrics": values}))
    results = Results(records, [])
    assert bool(results.refusals) != ranked
    if not ranked:
        assert set(results.refusals) == {(TRAIN, test) for test in results.resolutions[TRAIN]}
        assert "has learned to generate: at 32 px" in results.refusals[TRAIN, (48, 48)]
        assert head_of(results).answers == ("Above 1× nothing may be concluded.",)


def test_where_samples_say_nothing_models_are_judged_by_what_they_know() -> None:
    """The main metric looks into models and is ranked; distances of samples that are worse than noise judge nothing."""
    records = make_records()
    known = [
        record.model_copy(update={"metrics": {"denoising_error": 0.02 + 0.001 * record.seed, **record.metrics}})
        for record in records
        if record.stage == "measure"
    ]
    noisy = [
        record.model_copy(update={"stage": "noise", "metrics": dict.fromkeys(record.metrics, 0.0)})
        for record in records
        if record.stage == "floor"
    ]
    others = [record for record in records if record.stage != "measure"]
    experiment = known[0].config.experiment
    report = experiment.report.model_copy(update={"main_metric": "denoising_error"})
    judged = experiment.model_copy(update={"report": report})
    everything = [record.as_of(judged) for record in (*known, *others, *noisy)]
    results = Results(everything, [])
    assert results.main_metric is not None
    assert results.main_metric.name == "denoising_error"
    assert not results.refusals
    assert [metric.name for metric in judged_by(results)] == ["denoising_error"]
    assert any(
        caution.startswith("Nothing is judged by samples: no model here") for caution in head_of(results).cautions
    )
