"""A clean image and the velocity say the same: closed forms, what is trained, what is sampled, what a file keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rpe2d_bench.config.experiment import Sampler, Train
from rpe2d_bench.diffusion import PATHS, Objective, noised, path
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, preset
from rpe2d_bench.sampling.loop import noise, sample
from rpe2d_bench.stages.weights_file import differences
from rpe2d_bench.training.loop import Training

X, EPS = (
    torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (0, 1)
)
TIMES = torch.tensor([0.05, 0.3, 0.7, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("name", PATHS)
def test_the_true_clean_image_implies_the_true_velocity(name: str) -> None:
    x_t, velocity = noised(path(name), X, EPS, TIMES)
    assert torch.allclose(Objective(name, "clean_image").velocity(X, x_t, TIMES), velocity, atol=1e-12)
    assert Objective(name).velocity(velocity, x_t, TIMES) is velocity


def test_on_the_linear_path_the_error_is_that_of_the_image_over_t() -> None:
    x_t, velocity = noised(path("linear"), X, EPS, TIMES)
    wrong = X + 0.01
    error = Objective("linear", "clean_image").velocity(wrong, x_t, TIMES) - velocity
    assert torch.allclose(error, (-0.01 / TIMES).view(-1, 1, 1, 1).expand_as(error), atol=1e-12)


def test_before_the_earliest_time_the_velocity_stays_bounded() -> None:
    objective = Objective("linear", "clean_image")
    early = torch.tensor([0.0, 0.01, 0.04, 0.05], dtype=torch.float64)
    velocity = objective.velocity(X, EPS, early)
    assert torch.allclose(velocity, (EPS - X) / 0.05)
    assert objective.learned(early).tolist() == [0.05] * 4
    assert Objective().learned(early) is early


class Oracle(DiT):
    """Predicts one and the same image."""

    def __init__(self, image_CYX: Tensor) -> None:
        super().__init__(preset("DiT-Nano/4", depth=1), channels=3, num_classes=2)
        self.image_CYX = image_CYX

    def forward(self, x_BCYX: Tensor, *_: Any) -> Tensor:
        return self.image_CYX.expand_as(x_BCYX)


@pytest.mark.parametrize(
    ("kind", "steps"), [("euler", 1), ("euler", 7), ("heun", 4), ("adams_bashforth", 9), ("ddpm", 5)]
)
def test_sampling_from_a_model_that_knows_the_image_arrives_at_it(kind: str, steps: int) -> None:
    image = torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(2)).float()
    denoiser = Denoiser(
        Oracle(image / 127.5 - 1),
        build({"kind": "axial_rope"}, width=64, heads=2),
        Objective("linear", "clean_image"),
    )
    options = Sampler.model_validate({"kind": kind, "steps": steps, "guidance": 1.5, "precision": "float32"})
    (made,) = sample(
        denoiser, options, resolution=(8, 8), train_grid=Grid(2, 2), indices=np.arange(3), seed=0, batch_size=3
    )
    assert np.abs(made - image.numpy()).max() <= 1
    assert noise(0, np.arange(1), (3, 8, 8)).std() > 0.5  # it did start from noise


def training(prediction: str, **recipe: Any) -> Training:
    torch.manual_seed(0)
    denoiser = Denoiser(
        DiT(preset("DiT-Nano/4", depth=2), channels=3, num_classes=2),
        build({"kind": "axial_rope"}, width=64, heads=2),
        Objective("linear", prediction),  # type: ignore[arg-type]
    )
    full = {"steps": 60, "batch_size": 8, "warmup": 3, "lr": 2e-3, "prediction": prediction, **recipe}
    return Training(denoiser, Train.model_validate(full), Grid(2, 2), seed=5)


class OneImage:
    """Always the same image."""

    def batch(self, rng: torch.Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        torch.rand(1, generator=rng)
        image = torch.linspace(-0.9, 0.9, 3 * 8 * 8).view(1, 3, 8, 8)
        return image.repeat(batch_size, 1, 1, 1), torch.zeros(batch_size, dtype=torch.int64), torch.zeros(batch_size, 3)


def test_the_first_loss_is_the_closed_form_and_training_lowers_it() -> None:
    run, seen = training("clean_image"), []
    loss = run._loss

    def noting(x: Tensor, eps: Tensor, t: Tensor, *rest: Any) -> Tensor:
        seen.append((x, t))
        return loss(x, eps, t, *rest)

    run._loss = noting
    steps = [step.loss.item() for step in run.steps(OneImage())]
    x, t = seen[0]
    # an untrained transformer predicts zeros: the image is off by x, the velocity by x / t
    assert steps[0] == pytest.approx(float((x / t.view(-1, 1, 1, 1)).square().mean()), rel=1e-5)
    assert steps[-1] < steps[0] / 10
    assert min(float(times.min()) for _, times in seen) >= 0.05


def test_no_time_before_the_earliest_is_trained() -> None:
    times: list[Tensor] = []
    for prediction in ("clean_image", "velocity"):
        run = training(prediction, steps=3, time_mean=-6.0)  # nearly all draws lie below 0.05
        loss = run._loss
        run._loss = lambda x, eps, t, *rest, loss=loss: (times.append(t), loss(x, eps, t, *rest))[1]
        for _ in run.steps(OneImage()):
            pass
    assert torch.stack(times[:3]).min() == torch.tensor(0.05)
    assert torch.stack(times[3:]).min() < 0.04
    assert torch.equal(torch.stack(times[3:]).clamp(min=0.05), torch.stack(times[:3]))  # the same draws


def test_a_recipe_does_not_train_a_model_of_another_objective() -> None:
    run = training("clean_image")
    with pytest.raises(ValueError, match="is not what the recipe trains"):
        Training(run.denoiser, Train(steps=1), Grid(2, 2), seed=0)


def test_the_prediction_is_part_of_the_address_and_of_the_weights_recipe(stage: Any) -> None:
    from dataclasses import replace

    from rpe2d_bench.stages.weights_file import recipe_of

    clean = replace(stage, recipe=stage.recipe.model_copy(update={"prediction": "clean_image"}))
    assert clean.key != stage.key
    assert stage.key == replace(stage, recipe=Train.model_validate(stage.recipe.model_dump())).key
    written = recipe_of(clean)
    assert written is not None
    assert [(part.trained, part.used) for part in differences(written, stage)] == [
        ("prediction clean_image", "prediction velocity")
    ]
    older = {**written, "train": {k: v for k, v in written["train"].items() if k != "prediction"}}
    assert differences(older, stage) == ()


@pytest.fixture
def stage() -> Any:
    from rpe2d_bench import data
    from rpe2d_bench.config.experiment import Model
    from rpe2d_bench.data.crops import build_crops
    from rpe2d_bench.encodings.spec import EncodingSpec
    from rpe2d_bench.resolution import Resolution
    from rpe2d_bench.stages import TrainStage

    return TrainStage(
        data=data.validate({"name": "glyphs"}),
        revision="r",
        channels=1,
        num_classes=10,
        model=Model(preset="DiT-Nano/4"),
        recipe=Train(steps=3, precision="float32"),
        encoding=EncodingSpec.parse({"kind": "axial_rope", "theta": 100}),
        crops=build_crops(None),
        resolution=Resolution(16, 16),
        seed=0,
    )
