"""Every family of transformers with random weights: its own bits where rules change nothing, others where they do."""

import dataclasses
from typing import Any

import pytest
import torch
from helpers.tiny_transformers import LARGER, MODELS, TRAIN, WIDE, build, dit, noise, sd3, sizes
from torch import Tensor

from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, POSITIONS, Context, Grid
from rpe2d_bench.encodings.adapters import FAMILIES, Rules, family_of, put, swap_rotary
from rpe2d_bench.errors import UserError


@pytest.fixture(scope="module")
def models(diffusers: Any) -> dict[str, Any]:
    return {name: build(name) for name in MODELS}


@pytest.mark.parametrize("name", list(MODELS))
def test_a_family_keeps_its_bits_where_rules_change_nothing_and_restores(name: str, models: dict[str, Any]) -> None:
    model, call = models[name], MODELS[name][1]
    family = family_of(model)
    before = {grid: call(model, grid, 0.5) for grid in sizes(name, TRAIN, LARGER, WIDE)}
    names = set(model.state_dict())
    for kind in ("geometric", "interpolated", "ntk", "dype_ntk"):
        scale = LOGIT_SCALES["constant" if family.adds or kind == "geometric" else "yarn"]()
        restore = swap_rotary(model, TRAIN, FREQUENCIES[kind](), scale)
        assert torch.equal(call(model, TRAIN, 0.5), before[TRAIN]), kind
        changed = float((call(model, LARGER, 0.5) - before[LARGER]).abs().max())
        if kind == "geometric" and not family.squeezes:
            assert changed == 0
        elif kind == "interpolated" and family.squeezes and family.adds:
            assert changed < 1e-4  # what the model does anyway
        else:
            assert changed > 1e-5, kind
        restore()
        for grid, expected in before.items():
            assert torch.equal(call(model, grid, 0.5), expected), (kind, grid)
    assert set(model.state_dict()) == names
    assert not model._forward_pre_hooks


@pytest.mark.parametrize("name", list(MODELS))
def test_plain_rules_are_extrapolation(name: str, models: dict[str, Any]) -> None:
    """Where a model's own rule is extrapolation nothing changes at any size; where it squeezes, other sizes do."""
    model, call = models[name], MODELS[name][1]
    for grid in sizes(name, Grid(3, 3), Grid(3, 4), LARGER, WIDE):
        own = call(model, grid, 0.5)
        restore = swap_rotary(model, TRAIN)
        assert torch.equal(call(model, grid, 0.5), own) is not family_of(model).squeezes
        restore()


@dataclasses.dataclass(frozen=True)
class Doubled:
    """Positions twice as far apart."""

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        rows_BN, columns_BN = POSITIONS["grid"]()(ctx)
        return 2 * rows_BN, 2 * columns_BN


@dataclasses.dataclass(frozen=True)
class Halved:
    """Frequencies half as fast."""

    theta: float = 10_000.0

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return FREQUENCIES["geometric"](theta=self.theta)(ctx, axis, F) / 2


@pytest.mark.parametrize("name", list(MODELS))
def test_angles_computed_by_us_are_the_model_s_own(name: str, models: dict[str, Any]) -> None:
    """Two changed rules whose product is the plain one: every angle is ours, every output the model's."""
    model, call = models[name], MODELS[name][1]
    if name == "QwenImageTransformer2DModel":
        pytest.skip("its middle is a position, which is not halved with the frequencies")
    # HunyuanDiT's pipeline steps otherwise along the shorter side of images that are not square
    for grid in sizes(name, LARGER) if name.startswith("Hunyuan") else sizes(name, LARGER, WIDE):
        own = call(model, grid, 0.5)
        restore = put(model, Rules(grid, Halved(), positions=Doubled()))
        torch.testing.assert_close(call(model, grid, 0.5), own, atol=2e-5, rtol=1e-4)
        restore()
        restore = put(model, Rules(grid, positions=Doubled()))
        assert float((call(model, grid, 0.5) - own).abs().max()) > 1e-5
        restore()


@pytest.mark.parametrize("name", list(MODELS))
def test_time_is_read_as_the_pipeline_passes_it(name: str, models: dict[str, Any]) -> None:
    """dype_ntk leaves data at t = 0 alone; at t = 1 it is ntk."""
    model, call = models[name], MODELS[name][1]
    plain = swap_rotary(model, TRAIN)
    at_data = call(model, LARGER, 0.0)
    plain()
    restore = swap_rotary(model, TRAIN, FREQUENCIES["dype_ntk"]())
    torch.testing.assert_close(call(model, LARGER, 0.0), at_data, atol=2e-5, rtol=1e-4)
    assert float((call(model, LARGER, 1.0 if "DiTT" not in name else 0.999) - at_data).abs().max()) > 1e-5
    restore()


def test_sd3_makes_images_beyond_its_table_around_the_trained_middle(models: dict[str, Any]) -> None:
    model = models["SD3Transformer2DModel"]
    with pytest.raises(ValueError, match="cannot be greater"):
        sd3(model, Grid(12, 12), 0.5)
    restore = swap_rotary(model, TRAIN)
    assert sd3(model, Grid(12, 12), 0.5).isfinite().all()
    restore()
    with pytest.raises(ValueError, match="cannot be greater"):
        sd3(model, Grid(12, 12), 0.5)


def test_an_error_in_a_call_leaves_the_table_as_it_was(models: dict[str, Any]) -> None:
    model = models["DiTTransformer2DModel"]
    own = dit(model, LARGER, 0.5)
    restore = swap_rotary(model, TRAIN)
    with pytest.raises(RuntimeError):
        model(noise(2, 5, 12, 12), timestep=torch.tensor([1, 1]), class_labels=torch.tensor([1, 2]))
    restore()
    assert torch.equal(dit(model, LARGER, 0.5), own)


def test_what_cannot_be_adapted_says_why_in_one_sentence(diffusers: Any, models: dict[str, Any]) -> None:
    for name, why in (("SanaTransformer2DModel", "has no positions"), ("AuraFlowTransformer2DModel", "learned one")):
        model = object.__new__(getattr(diffusers, name))
        torch.nn.Module.__init__(model)
        with pytest.raises(UserError, match=f"{name} {why}"):
            swap_rotary(model, TRAIN)
    with pytest.raises(UserError, match="adds its positions to the patches, where a logit scale has no place"):
        swap_rotary(models["PixArtTransformer2DModel"], TRAIN, logit_scale=LOGIT_SCALES["yarn"]())


def test_every_family_is_tested() -> None:
    flux = {name for name, family in FAMILIES.items() if family.install is FAMILIES["FluxTransformer2DModel"].install}
    assert set(FAMILIES) == set(MODELS) | flux
