"""Models of one seed are paired: what one of them draws changes nothing of what the others see."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.planned import planned
from helpers.stripes import Stripes
from torch import Tensor

from rpe2d_bench.analysis.real_names import RULERS
from rpe2d_bench.config.experiment import Train
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, preset
from rpe2d_bench.plan.expand import make_plan
from rpe2d_bench.resolve.load import keep_methods, load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.storage.store import Store
from rpe2d_bench.training.loop import Training, seed_of

STEPS = 30
FIXTURES = Path(__file__).parent.parent / "fixtures"
GRID = {"kind": "axial_rope", "theta": 100}


def random_positions(*max_grid: int, **options: Any) -> dict[str, Any]:
    return {**GRID, "positions": {"kind": "random", "max_grid": list(max_grid), **options}}


def training(encoding: dict[str, Any], **recipe: Any) -> Training:
    torch.manual_seed(0)
    options = preset("DiT-Nano/4", depth=2, stem=recipe.pop("stem", "none"))
    denoiser = Denoiser(DiT(options, channels=1, num_classes=2), build(encoding, width=64, heads=2))
    full = Train(steps=STEPS, batch_size=8, warmup=3, lr=2e-3, **recipe)
    return Training(denoiser, full, Grid(4, 4), seed=5)


def seen(run: Training) -> list[tuple[Tensor, ...]]:
    """Images, noise, times, labels (dropped ones included) and crops of every step."""
    found: list[tuple[Tensor, ...]] = []
    loss = run._loss

    def noting(x: Tensor, eps: Tensor, t: Tensor, labels: Tensor, crop: Tensor, *rest: Any) -> Tensor:
        found.append((x, eps, t, labels, crop))
        return loss(x, eps, t, labels, crop, *rest)

    run._loss = noting
    for _ in run.steps(Stripes()):
        pass
    return found


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_range_of_the_train_grid_is_the_grid_bit_for_bit(precision: str, optimizer: str) -> None:
    grid, whole = (training(e, precision=precision, optimizer=optimizer) for e in (GRID, random_positions(4, 4)))
    losses = [[step.loss.item() for step in run.steps(Stripes())] for run in (grid, whole)]
    assert losses[0] == losses[1]
    for name, value in grid.denoiser.state_dict().items():
        assert torch.equal(value, whole.denoiser.state_dict()[name]), name


@pytest.mark.parametrize(
    ("encoding", "stem"),
    [
        (random_positions(8, 8), "none"),
        (random_positions(8, 8, per="batch", draw="real"), "none"),
        ({**GRID, "positions": {"kind": "shift_scale_jitter"}}, "none"),
        ({"kind": "none"}, "dilated_conv"),
    ],
    ids=["per sample", "per batch", "jitter", "stem"],
)
def test_every_step_sees_the_same_whatever_the_model_draws(encoding: dict[str, Any], stem: str) -> None:
    expected, found = seen(training(GRID)), seen(training(encoding, stem=stem))
    assert len(expected) == len(found) == STEPS
    for step, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other), step


def test_no_two_seeds_share_their_draws() -> None:
    drawn = {seed_of(stream, seed) for stream in ("encoding", "stem") for seed in range(1000)}
    assert len(drawn) == 2000
    positions = [
        Training(training(GRID).denoiser, Train(steps=1), Grid(4, 4), seed=seed).encoding_rng.get_state()
        for seed in (0, 1)
    ]
    assert not torch.equal(*positions)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A copy of the store that commit dec330d made, with stand-ins for the weights that the repository leaves out."""
    shutil.copytree(FIXTURES / "store_dec330d", tmp_path / "runs")
    for folder in (tmp_path / "runs" / "stages" / "train").iterdir():
        (folder / "weights.safetensors").write_bytes(b"stand-in")
        manifest = json.loads((folder / "manifest.json").read_text())
        assert "weights.safetensors" in manifest["sha256"]
        manifest["sha256"]["weights.safetensors"] = hashlib.sha256(b"stand-in").hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return Store(tmp_path / "runs")


def files(store: Store) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (store.root / "stages").rglob("*") if path.is_file()}


def test_what_was_trained_before_is_found_where_nothing_was_drawn(store: Store) -> None:
    plan = planned(FIXTURES / "store_dec330d.yaml")
    assert len(plan.trials) == 6
    assert [trial.model for trial in plan.missing_trainings(store)] == ["rpe2d"]
    (again,) = (trial for trial in plan.trials if trial.model == "rpe2d")
    rulers = {floor.measure.key for floor in plan.floors if floor.kind in RULERS}  # that store knows none
    missing = {stage.key for stage in plan.missing_measures(store)}
    assert missing == rulers | {cell.measure.key for cell in again.cells}


def test_a_run_on_the_store_of_before_trains_nothing_again(store: Store) -> None:
    experiment = load_experiment(FIXTURES / "store_dec330d.yaml")
    kept = tuple(name for name in experiment.methods if name != "rpe2d")
    before = files(store)
    records = run(make_plan(keep_methods(experiment, kept)), store, engine="local")
    assert {record.status for record in records} == {"ok"}
    assert sum(record.stage == "train" for record in records) == 5
    after = files(store)
    assert {path: content for path, content in after.items() if path in before} == before
    made = {path.relative_to(store.root / "stages").parts[0] for path in after if path not in before}
    assert made == {"reference", "measure"}  # of the rulers, which that store does not know
