"""Weights of FiTv2 give our transformer the outputs of the authors' code under every rule of theirs, and go back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.foreign_weights import CLASSES, WIDTH, fit, numbers, theirs
from torch import Tensor

from rpe2d_bench.diffusion import guided
from rpe2d_bench.encodings import Context, EncodingSpec, Grid
from rpe2d_bench.errors import UserError
from rpe2d_bench.models import DiT, preset
from rpe2d_bench.models.dit import Block
from rpe2d_bench.models.foreign import LAYOUTS, from_layout, to_layout
from rpe2d_bench.models.foreign_sizes import sizes_of

GOLDEN = json.loads((Path(__file__).parent.parent / "fixtures" / "fitv2_forward.json").read_text())
FIT, OPTIONS = LAYOUTS["fit"], preset("FiTv2-Nano/2", time_scale=1.0)
# custom_freqs -> our rules; decouple: False scales both axes as the larger one
RULES: dict[str, dict[str, Any]] = {
    "linear": {"frequencies": {"kind": "interpolated"}},
    "ntk-aware": {"frequencies": {"kind": "ntk"}},
    "ntk-aware-pro2": {"frequencies": {"kind": "ntk"}, "logit_scale": {"kind": "fit_code"}},
    "ntk-by-parts": {"frequencies": {"kind": "ntk_by_parts"}},
    "yarn": {"frequencies": {"kind": "yarn"}, "logit_scale": {"kind": "yarn"}},
}


@pytest.fixture(scope="module")
def dit() -> DiT:
    made = DiT(OPTIONS, channels=4, num_classes=CLASSES)
    made.load_state_dict(from_layout(fit(), FIT, "the file"))
    return made.eval()


def outputs(dit: DiT, case: dict[str, Any], labels: list[int]) -> Tensor:
    """In their sign."""
    grid, rule, spec = Grid(*case["grid"]), case.get("rule"), EncodingSpec.parse(FIT.encoding)
    if rule is not None:
        parts = RULES[rule["custom_freqs"]]
        own = {"scale_from": "axis" if rule["decouple"] else "larger"}
        spec = spec.replace(parts | {"frequencies": parts["frequencies"] | own})
    train = Grid(4, 4) if rule is None else Grid(16, 16)
    encoding = spec.build(width=WIDTH, heads=OPTIONS.heads)(Context(grid, train))
    x = numbers("x", (2, 4, 2 * grid.height, 2 * grid.width), 1.0)
    with torch.inference_mode():
        predicted: Tensor = dit(x, 1 - torch.tensor(case["t"]), torch.tensor(labels), encoding)
    return -predicted


def name_of(case: dict[str, Any]) -> str:
    rule = case.get("rule", {"custom_freqs": "plain", "decouple": True})
    return f"{rule['custom_freqs']} {rule['decouple']} {case['grid']}"


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name_of)
def test_the_authors_code_gives_the_same(dit: DiT, case: dict[str, Any]) -> None:
    found = outputs(dit, case, case["labels"])
    expected = torch.tensor(case["output"])
    assert expected.std() > 0.3
    assert (found.flatten()[:: 8 if "rule" in case else 1] - expected).abs().max() < 1e-5


def test_their_guidance_leaves_the_last_channel(dit: DiT) -> None:
    (case,) = (case for case in GOLDEN["cases"] if "guided_1.5_labels_1_2" in case)
    given, none = outputs(dit, case, [1, 2]), outputs(dit, case, [3, 3])
    expected = torch.tensor(case["guided_1.5_labels_1_2"]).view_as(given)
    assert (guided(given, none, 1.5, 3) - expected).abs().max() < 1e-5
    assert (guided(given, none, 1.5) - expected).abs().max() > 1e-2


def test_the_same_under_autocast_and_with_real_rotations(dit: DiT) -> None:
    """bfloat16 takes RotationOfHalves, whose order of channels is the other one."""
    case = GOLDEN["cases"][0]
    whole = outputs(dit, case, case["labels"])
    with torch.autocast("cpu", torch.bfloat16):
        low = outputs(dit, case, case["labels"]).float()
    assert 0 < (low - whole).abs().mean() < 0.03


def test_there_and_back_changes_nothing() -> None:
    ours = from_layout(fit(), FIT, "the file")
    back = to_layout(ours, FIT, Grid(4, 4), OPTIONS)
    assert {name: value.shape for name, value in back.items()} == {n: value.shape for n, value in fit().items()}
    assert all((back[name] - value).abs().max() < 1e-6 for name, value in fit().items())


def test_a_file_says_its_sizes() -> None:
    sizes = sizes_of({name: value.to("meta") for name, value in fit().items()}, "the file")
    assert (sizes.width, sizes.depth, sizes.patch_size, sizes.channels, sizes.num_classes) == (64, 4, 2, 4, 3)
    assert (sizes.grid, sizes.preset("the file")) == (None, "FiTv2-Nano/2")


def without(weights: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if part not in name}


@pytest.mark.parametrize(
    ("weights", "layout", "message"),
    [
        (fit(), "sit", "layers of FiTv2; write format: fit"),
        (theirs(), "fit", "layers of SiT or DiT; write format: sit, or dit"),
        (without(fit(), "global_adaLN"), "fit", "FiTv1 .* time of 1 at every step"),
        ({**fit(), "blocks.0.attn.q_norm.weight": torch.ones(32)}, "fit", "q_norm.weight', which whlzy/FiT does not"),
        (without(fit(), "blocks.3"), "fit", "64 and 3 blocks, a size without a preset"),
    ],
)
def test_other_weights_are_refused(weights: dict[str, Tensor], layout: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_layout(weights, LAYOUTS[layout], "the file")


def test_a_low_rank_modulation_starts_at_zero_and_learns() -> None:
    """Of its two matrices the last alone is zero: with both at zero neither would ever get a gradient."""
    block = DiT(OPTIONS, channels=4, num_classes=2).blocks[0]
    assert isinstance(block, Block)
    condition = torch.ones(1, WIDTH)
    modulation = block.modulation(condition)
    assert not modulation.any()
    modulation.sum().backward()
    assert block.modulation.get_parameter("1.weight").grad.any()  # type: ignore[union-attr]
