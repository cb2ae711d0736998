"""Training: exact resume, repeatability, the schedule, the average, and that it learns."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from helpers.stripes import Stripes
from helpers.trainings import RANDOM, training

from rpe2d_bench.config.experiment import Train
from rpe2d_bench.errors import UserError
from rpe2d_bench.models.program import compiled
from rpe2d_bench.training.loop import learning_rate, reaches_rate
from rpe2d_bench.training.optimizers import Muon, Optimizers


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("spec", [None, RANDOM], ids=["rope", "random"])
def test_an_interrupted_training_ends_bit_identical(spec: Any, optimizer: str, precision: str) -> None:
    recipe: dict[str, Any] = {"optimizer": optimizer, "precision": precision, "micro_conditioning": spec is RANDOM}
    whole = training(spec, **recipe)
    losses = [step.loss for step in whole.steps(Stripes())]

    first = training(spec, **recipe)
    steps = first.steps(Stripes())
    resumed_losses = [next(steps).loss for _ in range(4)]
    state = saved_and_loaded(first.state_dict())
    second = training(spec, **recipe)
    torch.rand(3)  # the global generator plays no part
    second.load_state_dict(state)
    resumed_losses += [step.loss for step in second.steps(Stripes())]

    assert torch.equal(torch.stack(losses), torch.stack(resumed_losses))
    for one, other in ((whole.denoiser, second.denoiser), (whole.ema, second.ema)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_a_saved_state_does_not_change_with_further_steps() -> None:
    run = training()
    steps = run.steps(Stripes())
    next(steps)
    state = saved_and_loaded(run.state_dict())
    next(steps)
    assert state["step"] == 1
    now = run.state_dict()["denoiser"]
    assert any(not torch.equal(value, now[name]) for name, value in state["denoiser"].items())


def test_seeds_decide() -> None:
    first, again = (torch.stack([s.loss for s in training().steps(Stripes())]) for _ in range(2))
    assert torch.equal(first, again)
    other = training()
    other.rng.manual_seed(8)
    assert not torch.equal(first, torch.stack([s.loss for s in other.steps(Stripes())]))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_it_learns(optimizer: str) -> None:
    losses = [s.loss.item() for s in training(steps=80, batch_size=16, optimizer=optimizer).steps(Stripes())]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_bfloat16_learns_as_float32_does() -> None:
    ends = []
    for precision in ("float32", "bf16"):
        losses = [s.loss.item() for s in training(steps=40, batch_size=16, precision=precision).steps(Stripes())]
        ends.append(sum(losses[-10:]) / 10)
    assert ends[1] == pytest.approx(ends[0], rel=0.03)


def test_weights_stay_float32_whatever_the_precision() -> None:
    run = training(precision="bf16", steps=1)
    next(run.steps(Stripes()))
    assert {value.dtype for value in run.denoiser.parameters()} == {torch.float32}
    assert {value.dtype for value in run.ema.parameters()} == {torch.float32}


def test_the_rate_warms_up_holds_and_falls_to_zero() -> None:
    recipe = Train(steps=100, lr=1.0, warmup=10, decay=0.2)
    rates = [learning_rate(recipe, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:81] == [1.0] * 72
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 20)
    constant = Train(steps=5, lr=2.0, warmup=0, decay=0.0)
    assert [learning_rate(constant, step) for step in range(5)] == [2.0] * 5


@pytest.mark.parametrize("warmup", [0, 1, 2, 5, 7, 8, 10, 100])
@pytest.mark.parametrize("decay", [0.0, 0.3, 1.0])
def test_whether_the_rate_is_reached_is_what_the_schedule_says(warmup: int, decay: float) -> None:
    for steps in (1, 2, 8, 10):
        recipe = Train(steps=steps, lr=3e-4, warmup=warmup, decay=decay)
        peak = max(learning_rate(recipe, step) for step in range(steps))
        assert reaches_rate(recipe) == (peak == recipe.lr), (steps, peak)


def test_the_average_follows_the_weights() -> None:
    run = training(steps=3, ema=0.5)
    before = {name: value.clone() for name, value in run.ema.named_parameters()}
    expected = {name: value.clone() for name, value in before.items()}
    for index, _ in enumerate(run.steps(Stripes())):
        decay = min(0.5, (1 + index) / (10 + index))
        for name, value in run.denoiser.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * value.detach()
    for name, value in run.ema.named_parameters():
        torch.testing.assert_close(value, expected[name])
    assert not torch.equal(before["dit.patches_in.weight"], expected["dit.patches_in.weight"])


def test_dropped_labels_train_the_row_of_no_class() -> None:
    for dropout, trained in ((0.0, False), (0.9, True)):
        run = training(steps=4, class_dropout=dropout)
        row = run.denoiser.dit.class_embedding.weight.detach()[-1].clone()
        for _ in run.steps(Stripes()):
            pass
        assert torch.equal(row, run.denoiser.dit.class_embedding.weight[-1]) is not trained


def test_muon_takes_the_matrices_of_the_blocks_and_nothing_else() -> None:
    run = training(optimizer="muon")
    optimizers: Optimizers = run.optimizers
    adamw, muon = optimizers.parts
    taken = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name for name, p in run.denoiser.named_parameters() if id(p) in taken}
    assert names == {
        f"dit.blocks.{i}.{part}.weight" for i in range(2) for part in ("qkv", "projection", "mlp_in", "mlp_out")
    }
    others = sum(len(group["params"]) for group in adamw.param_groups)
    assert others + len(names) == len(list(run.denoiser.parameters()))


SHAPES = [(24, 8), (8, 8), (8, 32), (32, 8), (24, 8), (8, 8)]
THEIRS = {"momentum": 0.95, "adjust_lr_fn": "match_rms_adamw"}


def muon_steps(kind: Any, steps: int = 4, state: dict[str, Any] | None = None, **options: Any) -> Any:
    """(initial weights, weights, state) after some steps on random gradients, one of which is missing once."""
    start = [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i, shape in enumerate(SHAPES)]
    weights = [torch.nn.Parameter(weight.clone()) for weight in start]
    optimizer = kind(weights, lr=0.02, weight_decay=0.1, **options)
    if state is not None:
        optimizer.load_state_dict(state)
    rng = torch.Generator().manual_seed(3)
    for step in range(steps):
        for number, weight in enumerate(weights):
            gradient = torch.randn(weight.shape, generator=rng)
            weight.grad = None if (step, number) == (1, 4) else gradient
        optimizer.step()
    return start, weights, optimizer.state_dict()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_muon_in_batches_is_torchs_muon_and_reads_its_checkpoints() -> None:
    start, theirs, their_state = muon_steps(torch.optim.Muon, **THEIRS)
    _, ours, our_state = muon_steps(Muon)
    for first, weight, expected in zip(start, ours, theirs, strict=True):
        moved = (expected - first).norm()
        assert (weight - expected).norm() < 0.01 * moved  # both in bfloat16
    for number, moment in our_state["state"].items():
        torch.testing.assert_close(moment, their_state["state"][number])
    assert [group.keys() for group in our_state["param_groups"]] == [g.keys() for g in their_state["param_groups"]]
    assert our_state["param_groups"] == their_state["param_groups"]
    muon_steps(Muon, 1, saved_and_loaded(their_state))
    muon_steps(torch.optim.Muon, 1, saved_and_loaded(our_state), **THEIRS)


def test_muon_iterates_in_the_trainings_own_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    from rpe2d_bench.training import optimizers

    seen: list[torch.dtype] = []
    exact = optimizers.orthogonal

    def watched(*arguments: Any) -> torch.Tensor:
        seen.append(arguments[-1])
        return exact(*arguments)

    monkeypatch.setattr(optimizers, "orthogonal", watched)
    for precision, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        seen.clear()
        next(training(optimizer="muon", precision=precision).steps(Stripes()))
        assert set(seen) == {dtype}


def test_muon_in_float32_goes_where_bfloat16_goes() -> None:
    start, rounded, _ = muon_steps(Muon)
    _, exact, _ = muon_steps(Muon, dtype=torch.float32)
    for first, weight, expected in zip(start, rounded, exact, strict=True):
        assert 0 < (weight - expected).norm() < 0.1 * (expected - first).norm()


def test_compiling_without_a_compiler_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=r"compile: false"):
        compiled(torch.neg, "cpu", "train.compile")
