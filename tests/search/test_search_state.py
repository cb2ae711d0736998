"""The search as a state: which trials it asks for and what it chooses, in a world where scores are a formula."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.searched_experiment import SEARCH
from helpers.tiny_experiment import TINY

from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.search import Asked, Searching
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.store import Store

World = Callable[[str, dict[str, Any]], float | str | None]  # entry, values -> score; a text fails, None is stopped


def searching(file: Path, store: Path, *overrides: str, methods: tuple[str, ...] = ()) -> Searching:
    return Searching(load_experiment(file, overrides), Store(store), methods)


def values_of(state: Searching, asked: Asked) -> dict[str, Any]:
    entry = next(entry for entry in state.entries if (entry.section, entry.name) == asked.entry)
    return entry.tried[asked.number].values


def play(state: Searching, store: Path, world: World, stop_after: int | None = None) -> list[tuple[str, int]]:
    """Answer what is asked as the world says; returns what was asked."""
    done: list[tuple[str, int]] = []
    while (asked := state.next()) is not None and len(done) != stop_after:
        label = " ".join(asked.entry)
        done.append((label, asked.number))
        score = world(label, values_of(state, asked))
        if isinstance(score, float):
            answer(store, asked, score, state.metric)
        state.ended(asked, score if isinstance(score, str) else None)
    return done


def answer(store: Path, asked: Asked, score: float, metric: str) -> None:
    for measure in asked.measures:
        result = {"values": {metric: score}}
        Store(store).make("measure", measure.key, lambda at, result=result: write_json(at / "result.json", result))


def entries(state: Searching) -> dict[str, dict[str, Any]]:
    return {f"{entry['section']} {entry['entry']}": entry for entry in state.table()["entries"]}


def best_lr(label: str, values: dict[str, Any]) -> float:
    """Lowest at a rate of 0.01, and at the shift 2 for ntk."""
    lr, shift = values.get("train.lr", 0.01), values.get("sampler.shift", 2.0)
    return abs(lr / 0.01 - 1) + abs(shift - 2)


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_every_entry_with_a_space_gets_the_same_number_and_the_first_is_as_written(
    file: Path, tmp_path: Path, algorithm: str
) -> None:
    state = searching(file, tmp_path / "runs", f"search.algorithm={algorithm}")
    play(state, tmp_path / "runs", best_lr)
    assert state.finished
    assert state.counts == (18, 18)
    found = entries(state)
    assert {name: len(entry["trials"]) for name, entry in found.items()} == {
        "models rope": 6,
        "models rpe2d": 6,
        "methods extrapolation": 0,
        "methods ntk": 6,
        "methods rpe2d": 0,
    }
    assert found["models rope"]["trials"][0]["values"] == {"train.lr": 0.001}
    assert found["methods ntk"]["trials"][0]["values"] == {"sampler.shift": 1.0, "frequencies.scale_from": "axis"}
    assert found["models rope"]["judged_by"] == "extrapolation"
    for entry in found.values():
        tried = [trial["values"] for trial in entry["trials"]]
        assert all(values not in tried[:place] for place, values in enumerate(tried)), "a trial was wasted"
        for values in tried:
            assert 1e-4 <= values.get("train.lr", 1e-3) <= 1e-1


def test_the_best_is_chosen_and_written_into_the_experiment(file: Path, tmp_path: Path) -> None:
    state = searching(file, tmp_path / "runs")
    play(state, tmp_path / "runs", best_lr)
    for name, entry in entries(state).items():
        if entry["trials"]:
            best = min(entry["trials"], key=lambda trial: trial["objective"])
            assert entry["chosen"] == best["values"], name
    lr = entries(state)["models rope"]["chosen"]["train.lr"]
    assert state.experiment.train_of("rope").lr == lr
    assert state.experiment.sampler_of("ntk").shift == entries(state)["methods ntk"]["chosen"]["sampler.shift"]
    assert state.experiment.sampler_of("extrapolation").shift == 1.0
    assert state.experiment.methods["ntk"].frequencies == {
        "kind": "ntk",
        "scale_from": entries(state)["methods ntk"]["chosen"]["frequencies.scale_from"],
    }


def test_a_higher_score_wins_where_higher_is_better(file: Path, tmp_path: Path) -> None:
    state = searching(file, tmp_path / "runs", "report.main_metric=accuracy")
    play(state, tmp_path / "runs", lambda label, values: values.get("train.lr", 0.0))
    trials = entries(state)["models rope"]["trials"]
    assert entries(state)["models rope"]["chosen"]["train.lr"] == max(trial["values"]["train.lr"] for trial in trials)


def test_what_is_written_stays_where_nothing_is_better(file: Path, tmp_path: Path) -> None:
    state = searching(file, tmp_path / "runs")
    before = state.experiment
    play(state, tmp_path / "runs", lambda label, values: 1.0)
    assert state.experiment == before


def test_equal_options_draw_equal_values_for_every_entry(file: Path, tmp_path: Path) -> None:
    state = searching(file, tmp_path / "runs")
    play(state, tmp_path / "runs", best_lr)
    rates = {
        name: [trial["values"]["train.lr"] for trial in entries(state)[name]["trials"]]
        for name in ("models rope", "models rpe2d")
    }
    assert rates["models rope"] == rates["models rpe2d"]
    other = searching(file, tmp_path / "other", "search.seed=1")
    play(other, tmp_path / "other", best_lr)
    assert entries(other)["models rope"]["trials"][1] != entries(state)["models rope"]["trials"][1]


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_a_search_that_was_stopped_goes_on_with_the_same_values(file: Path, tmp_path: Path, algorithm: str) -> None:
    override = f"search.algorithm={algorithm}"
    whole = searching(file, tmp_path / "whole", override)
    everything = play(whole, tmp_path / "whole", best_lr)
    parts: list[tuple[str, int]] = []
    for size in (4, 5, None):  # three processes, each knowing only the store
        state = searching(file, tmp_path / "parts", override)
        parts += play(state, tmp_path / "parts", best_lr, size)
    assert parts == everything
    assert state.table() == whole.table()
    again = searching(file, tmp_path / "parts", override)
    assert play(again, tmp_path / "parts", best_lr) == []
    assert again.table() == whole.table()
    assert again.experiment == whole.experiment


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_failed_and_stopped_trials_count_and_are_never_chosen(file: Path, tmp_path: Path, algorithm: str) -> None:
    def world(label: str, values: dict[str, Any]) -> float | str | None:
        if values.get("train.lr", 0.0) > 0.01:
            return "training diverged: the loss is nan at step 25"
        return None if 0.002 < values.get("train.lr", 0.0) <= 0.01 else best_lr(label, values)

    state = searching(file, tmp_path / "runs", f"search.algorithm={algorithm}", "search.trials=8")
    play(state, tmp_path / "runs", world)
    trials = entries(state)["models rope"]["trials"]
    assert len(trials) == 8
    statuses = {trial["status"] for trial in trials}
    assert statuses > {"ok"}
    for trial in trials:
        lr = trial["values"]["train.lr"]
        assert trial["status"] == ("failed" if lr > 0.01 else "stopped" if lr > 0.002 else "ok")
        assert (trial["objective"] is None) == (trial["status"] != "ok")
        assert ("diverged" in trial.get("error", "")) == (trial["status"] == "failed")
    assert entries(state)["models rope"]["chosen"]["train.lr"] <= 0.002


def test_where_every_trial_fails_the_values_stay_and_the_same_command_tries_again(file: Path, tmp_path: Path) -> None:
    state = searching(file, tmp_path / "runs")
    asked = play(state, tmp_path / "runs", lambda label, values: "the disk is full")
    assert state.finished
    assert state.experiment == load_experiment(file)
    assert play(searching(file, tmp_path / "runs"), tmp_path / "runs", best_lr) == asked


def test_the_end_of_a_crashed_trial_is_not_kept(file: Path, tmp_path: Path) -> None:
    state, crashed = searching(file, tmp_path / "runs"), []
    while (asked := state.next()) is not None:
        if asked.entry == ("models", "rope") and asked.number == 2:
            crashed.append(asked)
            state.ended(asked, "its process was killed", crashed=True)
        else:
            answer(tmp_path / "runs", asked, 1.0, state.metric)
            state.ended(asked, None)
    assert state.finished
    again = searching(file, tmp_path / "runs").next()
    assert again == crashed[0]


def test_methods_wait_for_their_model_and_are_tried_on_what_was_chosen(file: Path, tmp_path: Path) -> None:
    state, store = searching(file, tmp_path / "runs"), tmp_path / "runs"
    under_way = []
    while (asked := state.next()) is not None:
        under_way.append(asked)
    assert {asked.entry for asked in under_way} == {("models", "rope"), ("models", "rpe2d")}
    for asked in reversed(under_way):  # out of order, as parallel trials end
        answer(store, asked, best_lr("", values_of(state, asked)), state.metric)
        state.ended(asked, None)
    asked = state.next()
    assert asked is not None
    assert asked.entry == ("methods", "ntk")
    lr = state.experiment.train_of("rope").lr
    assert {measure.generated.train.recipe.lr for measure in asked.measures} == {lr}


def test_only_some_methods_need_only_their_models(file: Path, tmp_path: Path) -> None:
    state = searching(file, tmp_path / "runs", methods=("ntk",))
    play(state, tmp_path / "runs", best_lr)
    assert set(entries(state)) == {"models rope", "methods ntk"}
    whole = searching(file, tmp_path / "runs")
    asked = play(whole, tmp_path / "runs", best_lr)
    assert {label for label, _ in asked} == {"models rpe2d"}  # the rest is known: --only chooses the same values
    assert entries(whole)["models rope"] == entries(state)["models rope"]


def test_trials_see_validation_images_and_noise_of_their_own(file: Path, tmp_path: Path) -> None:
    from rpe2d_bench.plan.expand import make_plan

    state = searching(file, tmp_path / "runs")
    compared = make_plan(state.experiment)
    noise = {measure.generated.seed for measure in compared.measures() if hasattr(measure.generated, "seed")}
    references = {measure.reference.key for measure in compared.measures()}
    while (asked := state.next()) is not None:
        for measure in asked.measures:
            assert measure.reference.split == "validation"
            assert measure.reference.count == measure.generated.count == 12
            assert measure.reference.key not in references
            assert measure.generated.seed not in noise
        assert [measure.reference.resolution for measure in asked.measures] == [(16, 16), (24, 24)]
        answer(tmp_path / "runs", asked, 1.0, state.metric)
        state.ended(asked, None)


def test_a_chain_is_searched_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    second = "  second: {encoding: {kind: axial_rope}, init: {model: rope}}\nmethods:\n  second: {model: second}\n"
    path.write_text(TINY.replace("methods:\n", second) + SEARCH)
    state = searching(path, tmp_path / "runs", methods=("second",))
    assert [entry.name for entry in state.entries] == ["rope", "second", "second"]
    asked = play(state, tmp_path / "runs", best_lr)
    assert [label for label, _ in asked] == ["models rope"] * 6 + ["models second"] * 6
    assert entries(state)["models second"]["judged_by"] == "second"
