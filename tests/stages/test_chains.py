"""Models that start from other models, from files, or see several resolutions in training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.planned import planned
from safetensors.torch import load_file, save_file

from rpe2d_bench.data.image_batches import MixedImages
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.cost import jobs_of
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.plan.pace import Pace
from rpe2d_bench.runner import run
from rpe2d_bench.stages.denoiser import fresh_denoiser
from rpe2d_bench.storage.store import Store

CHAIN = """\
schema_version: 1
name: chain
seeds: [0]
data: {name: glyphs}
model: {preset: DiT-Nano/4}
train: {steps: 6, batch_size: 8, num_pictures: 64, warmup: 2}
models:
  small: {encoding: {kind: axial_rope}, resolution: 16}
  large: {encoding: {kind: axial_rope}, init: {model: small, resolution: 16}, train: {steps: 4}}
  kept: {encoding: {kind: axial_rope}, init: {model: small, resolution: 16}, train: {steps: 0}}
methods:
  large: {model: large}
  kept: {model: kept}
resolutions: [{train: 32, test: [32]}]
evaluate: {sampler: {steps: 2}, num_samples: 12, metrics: [kid]}
resources: {trials_in_parallel: 2}
report: {main_metric: kid}
"""


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "chain.yaml"
    path.write_text(CHAIN)
    return path


def weights(plan: Plan, store: Store, model: str) -> dict[str, torch.Tensor]:
    (key,) = {trial.stage.key for trial in plan.trials if trial.model == model}
    return load_file(store.folder("train", key) / "weights.safetensors")


def test_the_models_that_others_start_from_come_first_and_once(chain: Path) -> None:
    plan = planned(chain)
    assert [(t.model, t.stage.resolution, len(t.cells)) for t in plan.trials] == [
        ("small", (16, 16), 0),
        ("large", (32, 32), 1),
        ("kept", (32, 32), 1),
    ]


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_second_stage_starts_from_the_averaged_weights_of_the_first(chain: Path, tmp_path: Path, engine: str) -> None:
    plan, store = planned(chain), Store(tmp_path / "runs")
    found = run(plan, store, engine=engine)  # type: ignore[arg-type]
    assert {r.status for r in found} == {"ok"}
    first, kept, large = (weights(plan, store, model) for model in ("small", "kept", "large"))
    assert all(torch.equal(first[name], kept[name]) for name in first)
    assert any(not torch.equal(first[name], large[name]) for name in first)
    flops = {r.model: r.training.flops for r in found if r.stage == "train"}
    per_step = {r.model: r.training.flops_per_step for r in found if r.stage == "train"}
    assert flops["kept"] == flops["small"] == 6 * per_step["small"]
    assert flops["large"] == flops["small"] + 4 * per_step["large"]


def test_weights_that_are_taken_as_they_are_need_no_pool(chain: Path, tmp_path: Path) -> None:
    plan, store = planned(chain, only=("kept",)), Store(tmp_path / "runs")
    jobs = jobs_of(plan, store, Pace())
    pools = [part for job in jobs for part in job.parts if part.kind == "data/pool"]
    assert len(pools) == 1  # of the model that it starts from
    run(plan, store, engine="local")
    assert {path.name.split("-")[1] for path in (store.root / "cache").glob("pictures-*")} == {"16x16"}


def test_the_key_of_a_second_stage_knows_the_first(chain: Path) -> None:
    def keys(*overrides: str) -> dict[str, str]:
        return {trial.model: trial.stage.key for trial in planned(chain, *overrides).trials}

    before, after = keys(), keys("models.small.train={steps: 7}")
    assert all(before[model] != after[model] for model in before)
    assert keys("resources.cpus_per_trial=2") == before


def test_a_checkpoint_is_known_by_its_content(chain: Path, tmp_path: Path) -> None:
    plan = planned(chain)
    stage = next(trial.stage for trial in plan.trials if trial.model == "small")
    model = {name: torch.full_like(value, 0.01) for name, value in fresh_denoiser(stage).state_dict().items()}
    for name in ("one", "two"):  # with and without the prefix of this project
        save_file({key.removeprefix("dit." if name == "two" else ""): v for key, v in model.items()}, tmp_path / name)
    keys, stores = [], Store(tmp_path / "runs")
    for name in ("one", "two"):
        given = planned(chain, "models.kept.init=null", f"models.kept.checkpoint={tmp_path / name}", only=("kept",))
        keys.append(given.trials[-1].stage.key)
        run(given, stores, engine="local")
        assert all(torch.equal(value, model[key]) for key, value in weights(given, stores, "kept").items())
    (tmp_path / "renamed").write_bytes((tmp_path / "one").read_bytes())
    moved = planned(chain, "models.kept.init=null", f"models.kept.checkpoint={tmp_path / 'renamed'}", only=("kept",))
    assert moved.trials[-1].stage.key == keys[0]


@pytest.mark.parametrize(
    ("spoil", "output"),
    [
        (lambda w: w.pop("dit.patches_in.bias"), "lacks 'dit.patches_in.bias'"),
        (lambda w: w.update(new=torch.zeros(1)), "has 'new', which this model does not know"),
        (lambda w: w.update({"dit.patches_in.bias": torch.zeros(3)}), r"has the shape \[3\]"),
    ],
)
def test_weights_that_do_not_fit_are_named(chain: Path, tmp_path: Path, spoil, output: str) -> None:  # type: ignore[no-untyped-def]
    stage = next(trial.stage for trial in planned(chain).trials if trial.model == "small")
    model = fresh_denoiser(stage).state_dict()
    spoil(model)
    save_file(model, tmp_path / "spoilt")
    with pytest.raises(UserError, match=output):
        planned(chain, "models.kept.init=null", f"models.kept.checkpoint={tmp_path / 'spoilt'}", only=("kept",))


@pytest.mark.parametrize(
    ("override", "output"),
    [
        ("models.large.init.model=smal", "did you mean 'small'"),
        ("models.small.init={model: large}", "from itself"),
        ("models.large.model={preset: DiT-Mini/4}", "differ in size"),
        ("models.small.train={steps: 0}", "no init or checkpoint"),
        ("models.large.checkpoint=nowhere", "both say where the weights come from"),
        ("models.small.checkpoint=nowhere", "nowhere is not a file"),
        ("models.small.resolution=18", "not a multiple of the patch size"),
        ("models.large.mixed=[{resolution: 16, share: 0.6}, {resolution: 24, share: 0.5}]", "no step for the train"),
        ("methods={kept: {model: kept}}", "neither compared nor started from"),
    ],
)
def test_a_chain_that_cannot_work_is_refused_with_its_place(chain: Path, override: str, output: str) -> None:
    with pytest.raises(UserError, match=output):
        planned(chain, override)


def test_mixed_resolutions_take_their_share_of_the_steps(chain: Path, tmp_path: Path) -> None:
    class Pool:
        def __init__(self, name: str) -> None:
            self.name = name

        def batch(self, rng: torch.Generator, batch_size: int) -> str:
            return self.name

    mixed = MixedImages(Pool("main"), [(Pool("a"), 0.25), (Pool("b"), 0.1)])  # type: ignore[arg-type, list-item]
    rng = torch.Generator().manual_seed(0)
    drawn = [mixed.batch(rng, 1) for _ in range(4000)]
    for name, share in {"main": 0.65, "a": 0.25, "b": 0.1}.items():
        assert abs(drawn.count(name) / 4000 - share) < 0.03  # type: ignore[arg-type]

    plan = planned(chain, "models.large.mixed=[{resolution: 16, share: 0.5}]")
    store = Store(tmp_path / "runs")
    found = {r.model: r for r in run(plan, store, engine="local") if r.stage == "train"}
    low, high = (planned(chain).trials[n].stage.grid.tokens for n in (0, 1))
    assert low < high
    alone = found["kept"].training.flops_per_step
    assert found["large"].training.flops_per_step == pytest.approx((alone + found["small"].training.flops_per_step) / 2)
