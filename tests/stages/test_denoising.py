"""The denoising error of held-out images, from the file to the report: a number that costs no samples."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from helpers.planned import planned
from torch import Tensor

from rpe2d_bench import autoencoders
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.diffusion import noised, path
from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.metrics.denoising_error import TIMES
from rpe2d_bench.plan.cost import estimate
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.plan.pace import Pace
from rpe2d_bench.report.sections.denoising import by_time, wins_by_time
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.sampling.loop import noise
from rpe2d_bench.stages import DenoiseStage, MeasureStage, read_result
from rpe2d_bench.stages.denoiser import load_denoiser
from rpe2d_bench.stages.run_context import OutOfTime, RunContext
from rpe2d_bench.storage.store import Store

ONLY = ("evaluate.metrics=[denoising_error]", "report.main_metric=denoising_error")


def stage_of(plan: Plan, method: str, resolution: tuple[int, int]) -> DenoiseStage:
    (found,) = (
        cell.measure
        for trial in plan.trials
        for cell in trial.cells
        if (cell.method, cell.test_resolution) == (method, resolution) and isinstance(cell.measure, DenoiseStage)
    )
    return found


def test_nothing_is_sampled_for_it(tiny: Path, tmp_path: Path) -> None:
    plan, store = planned(tiny, *ONLY, "methods.enlarged={model: rope, upscale: true}"), Store(tmp_path / "runs")
    cost = estimate(plan, store, Pace())
    assert cost.sample_flops == 0 < cost.denoise_flops
    found = run(plan, store, engine="local")
    assert {(record.stage, record.error) for record in found} == {("train", None), ("denoise", None)}
    assert {path.name for path in (tmp_path / "runs" / "stages").iterdir()} == {"train", "denoise"}
    values = {(r.method, r.test_resolution): r.metrics["denoising_error"] for r in found if r.stage == "denoise"}
    methods, sizes = ("extrapolation", "ntk", "rpe2d"), ((16, 16), (24, 24), (16, 32))
    # an enlarged sample denoises nothing at the larger size
    assert set(values) == {(method, size) for method in methods for size in sizes} | {("enlarged", (16, 16))}
    assert values["extrapolation", (16, 16)] == values["ntk", (16, 16)] == values["enlarged", (16, 16)]
    assert len({values[method, (24, 24)] for method in methods}) == 3
    assert estimate(plan, store, Pace()).denoise_flops == 0
    results = Results(found)
    times = by_time(results, "ntk", (16, 16), (24, 24))
    assert list(times) == pytest.approx(TIMES)
    assert fmean(times.values()) == pytest.approx(values["ntk", (24, 24)])
    figure = wins_by_time(results, (16, 16))
    assert figure is not None
    assert "relative to that of ntk" in figure.caption
    assert run(plan, store, engine="local") == found


@pytest.mark.parametrize("prediction", ["velocity", "clean_image"])
@pytest.mark.parametrize("along", ["linear", "vp"])
def test_it_is_the_error_of_the_clean_image_on_images_and_noise_that_methods_share(
    tiny: Path, tmp_path: Path, along: str, prediction: str
) -> None:
    store = Store(tmp_path / "runs")
    recipe = (f"train.path={along}", f"train.prediction={prediction}")
    plan = planned(tiny, *ONLY, *recipe, "resolutions.0.test=[[16, 32]]")
    run(plan, store, engine="local")
    stage = stage_of(plan, "ntk", (16, 32))
    errors = np.load(store.folder("denoise", stage.key) / "errors.npy")
    assert errors.shape == (100, len(TIMES))
    result = read_result(store.folder("denoise", stage.key))
    assert result["values"]["denoising_error"] == pytest.approx(errors.mean())
    assert list(result["details"]["denoising_error"]["by_time"].values()) == pytest.approx(errors.mean(axis=0))

    images = np.array([7, 90])
    dataset = stage.train.data.build()
    x = torch.from_numpy(dataset.images("test", images, (16, 32))) / 127.5 - 1
    labels = torch.from_numpy(dataset.labels("test", images))
    assert errors[images] == pytest.approx(by_hand(store, stage, x, labels, images), rel=1e-4)


def by_hand(store: Store, stage: DenoiseStage, x: Tensor, labels: Tensor, images: np.ndarray) -> np.ndarray:
    """[B, T] errors of clean images x: one Euler step to t = 0 on the linear path, a rotation on the other."""
    denoiser = load_denoiser(stage.train, store.folder("train", stage.train.key), stage.encoding)
    eps, along = noise(0, images, tuple(x.shape[1:])), stage.train.recipe.path  # type: ignore[arg-type]
    errors = []
    for t in TIMES:
        at, turn = torch.full((len(x),), t), torch.tensor(np.pi / 2 * t)
        x_t, _ = noised(path(along), x, eps, at)
        encoding = denoiser.encoding(Context(stage.grid, stage.train.grid, at[:1]))
        with torch.inference_mode():
            predicted = velocity = denoiser.dit(x_t, at, labels, encoding, torch.zeros(1, 3))
        if stage.train.recipe.prediction == "clean_image":
            errors.append((predicted - x).square().flatten(1).mean(1))
            continue
        clean = x_t - t * velocity if along == "linear" else x_t * turn.cos() - velocity * turn.sin() / (np.pi / 2)
        errors.append((clean - x).square().flatten(1).mean(1))
    return torch.stack(errors, dim=1).numpy()


def test_seeds_and_methods_see_the_same_and_no_other_stage_notices(tiny: Path) -> None:
    plain, asked = (
        planned(tiny, "seeds=[0, 1]"),
        planned(tiny, "evaluate.metrics=[kid, accuracy, denoising_error]", "seeds=[0, 1]"),
    )
    measured = {stage.key for stage in asked.measures() if isinstance(stage, MeasureStage)}
    assert measured == {stage.key for stage in plain.measures()}
    stages = [stage for stage in asked.measures() if isinstance(stage, DenoiseStage)]
    assert {(stage.split, stage.count, stage.noise) for stage in stages} == {("test", 100, 0)}
    assert len({stage.key for stage in stages}) == len(stages) == 2 * (1 + 2 + 2 + 3)
    other = dataclasses.replace(stages[0], split="validation")
    assert other.key != stages[0].key


def test_a_rule_that_depends_on_time_has_an_address_of_its_own(tiny: Path) -> None:
    """At the sampler's steps of one experiment two rules may agree where they differ at the metric's times."""
    plan = planned(tiny, *ONLY, "methods.dype={model: rope, frequencies: {kind: dype_ntk}}")
    assert stage_of(plan, "dype", (24, 24)).key != stage_of(plan, "ntk", (24, 24)).key


def test_an_interrupted_one_goes_on_and_damage_starts_it_again(tiny: Path, tmp_path: Path) -> None:
    plan, store = planned(tiny, *ONLY), Store(tmp_path / "runs")
    stage = stage_of(plan, "ntk", (24, 24))
    resources = plan.experiment.resources
    stage.train.make(RunContext(store, resources))
    done: list[int] = []

    def progress(name: str, key: str, at: int, total: int, facts: dict[str, Any]) -> None:
        if "phase" not in facts:
            done.append(at)

    for _ in range(2):
        with pytest.raises(OutOfTime):
            stage.make(RunContext(store, resources, progress=progress, until=0.0))
    assert done == [0, 28]  # 64 images of the train grid are 28 of this one
    under_way = store.partial("denoise", stage.key) / "under_way.json"
    text = under_way.read_text()
    note = json.loads(text)
    assert len(note["errors"]) == 56
    note["errors"][3][2] *= 2
    under_way.write_text(json.dumps(note))
    with pytest.raises(OutOfTime):
        stage.make(RunContext(store, resources, progress=progress, until=0.0))
    assert done[2:] == [0]
    folder = stage.make(RunContext(store, resources, progress=progress))
    assert done[2:] == [0, 28, 56, 84]
    assert not (folder / "under_way.json").exists()
    whole = Store(tmp_path / "whole")
    assert np.array_equal(
        np.load(stage.make(RunContext(whole, resources)) / "errors.npy"), np.load(folder / "errors.npy")
    )


def test_training_lowers_it(tiny: Path, tmp_path: Path) -> None:
    longer = "models.rope.train={steps: 80, lr: 0.003}"
    found = run(planned(tiny, *ONLY, longer), Store(tmp_path / "runs"), engine="local")
    value = {r.method: r.metrics["denoising_error"] for r in found if r.test_resolution == (16, 16)}
    assert value["ntk"] < 0.9 * value["rpe2d"]  # 80 steps against 8


def test_a_search_is_judged_by_it(tiny: Path, tmp_path: Path) -> None:
    from rpe2d_bench.runner.search import search

    tiny.write_text(
        tiny.read_text()
        + "search: {trials: 3, resolutions: [24], methods: {ntk: {frequencies.scale_from: [axis, larger]}}}\n"
    )
    store = Store(tmp_path / "runs")
    _, table = search(load_experiment(tiny, ONLY), store, engine="local")
    trials = next(entry for entry in table["entries"] if entry["entry"] == "ntk")["trials"]
    assert table["better"] == "lower"
    assert all(trial["status"] == "ok" and 0 < trial["objective"] < 2 for trial in trials)
    assert not (tmp_path / "runs" / "stages" / "sample").exists()


def test_latents_of_real_images_are_denoised(tmp_path: Path) -> None:
    from helpers.toy_autoencoders import EXPERIMENT, images, taef2

    images(tmp_path / "images")
    taef2(tmp_path / "taef2.safetensors")
    file = tmp_path / "toy.yaml"
    file.write_text(
        EXPERIMENT.format(
            images=tmp_path / "images", autoencoder=f"kind: taef2, path: {tmp_path / 'taef2.safetensors'}"
        )
    )
    plan, store = planned(file, *ONLY), Store(tmp_path / "runs")
    found = run(plan, store, engine="local")
    assert {(record.stage, record.error) for record in found} == {("train", None), ("denoise", None)}
    stage = next(stage for stage in plan.measures() if isinstance(stage, DenoiseStage))
    errors = np.load(store.folder("denoise", stage.key) / "errors.npy")
    space, dataset, first = stage.train.latents, stage.train.data.build(), np.arange(2)
    assert space is not None
    pixels = dataset.images("test", first, stage.resolution)
    x = torch.from_numpy(autoencoders.encoded(autoencoders.load(space), pixels)).float()[:, : space.channels]
    labels = torch.from_numpy(dataset.labels("test", first))
    assert errors[first] == pytest.approx(by_hand(store, stage, x, labels, first), rel=1e-3)
