"""Weights of SiT and DiT give our transformer the outputs of the authors' code, and go back unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.foreign_weights import CLASSES, WIDTH, numbers, theirs
from torch import Tensor

from rpe2d_bench.diffusion import guided
from rpe2d_bench.encodings import AxialSinCos, Context, Grid
from rpe2d_bench.errors import UserError
from rpe2d_bench.models import DiT, preset
from rpe2d_bench.models.foreign import LAYOUTS, from_layout, to_layout
from rpe2d_bench.models.foreign_sizes import TABLE, sizes_of

GOLDEN = json.loads((Path(__file__).parent.parent / "fixtures" / "sit_dit_forward.json").read_text())


def model(weights: dict[str, Tensor], name: str) -> DiT:
    options = preset("DiT-Nano/2", gelu="tanh", time_scale=LAYOUTS[name].time_scale)
    dit = DiT(options, channels=4, num_classes=CLASSES)
    dit.load_state_dict(weights)
    return dit.eval()


def outputs(dit: DiT, name: str, x: Tensor, t: Tensor, labels: Tensor, grid: Grid) -> Tensor:
    """At their times, in their sign."""
    layout = LAYOUTS[name]
    ours = 1 - t if name == "sit" else (t + 1) / 1000
    with torch.inference_mode():
        encoding = AxialSinCos(WIDTH)(Context(grid, Grid(4, 4)))
        return layout.sign * dit(x, ours.float(), labels, encoding)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['format']} {case['latent']}")
def test_the_authors_code_gives_the_same(case: dict[str, Any]) -> None:
    height, width = case["latent"]
    grid, name = Grid(height // 2, width // 2), case["format"]
    dit = model(from_layout(theirs(), LAYOUTS[name], "the file"), name)
    x, t = numbers("x", (2, 4, height, width), 1.0), torch.tensor(case["t"])
    found = outputs(dit, name, x, t, torch.tensor(case["labels"]), grid)
    expected = torch.tensor(case["output"]).view_as(found)
    assert expected.std() > 0.3
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("case", [c for c in GOLDEN["cases"] if len(c) > 5], ids=lambda case: str(case["latent"]))
def test_their_guidance_leaves_the_last_channel(case: dict[str, Any]) -> None:
    height, width = case["latent"]
    grid, name = Grid(height // 2, width // 2), case["format"]
    dit = model(from_layout(theirs(), LAYOUTS[name], "the file"), name)
    x, t = numbers("x", (2, 4, height, width), 1.0), torch.tensor(case["t"])
    given = outputs(dit, name, x, t, torch.tensor([1, 2]), grid)
    none = outputs(dit, name, x, t, torch.tensor([3, 3]), grid)
    expected = torch.tensor(case["guided_1.5_labels_1_2"]).view_as(given)
    assert (guided(given, none, 1.5, 3) - expected).abs().max() < 1e-5
    assert (guided(given, none, 1.5) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["sit", "dit"])
def test_there_and_back_changes_nothing(name: str) -> None:
    ours = from_layout(theirs(), LAYOUTS[name], "the file")
    back = to_layout(ours, LAYOUTS[name], Grid(4, 4), preset("DiT-Nano/2"))
    again = from_layout(back, LAYOUTS[name], "the file")
    assert set(back) == set(theirs())
    assert {n for n, v in back.items() if v.shape != theirs()[n].shape} == {  # the learned variance
        "final_layer.linear.weight",
        "final_layer.linear.bias",
    }
    assert all((again[n] - ours[n]).abs().max() < 1e-6 for n in ours)
    assert all((back[n] - v).abs().max() < 1e-6 for n, v in theirs().items() if v.shape == back[n].shape)


def test_shapes_alone_are_converted_too() -> None:
    meta = {name: value.to("meta") for name, value in theirs().items()}
    made = from_layout(meta, LAYOUTS["sit"], "the file")
    whole = from_layout(theirs(), LAYOUTS["sit"], "the file")
    assert {name: value.shape for name, value in made.items()} == {n: value.shape for n, value in whole.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("x_embedder.proj.weight"), "no weights of SiT, DiT or FiT"),
        (lambda w: w.update({"blocks.0.attn.q_norm.weight": torch.ones(32)}), "FiT"),
        (lambda w: w.update({"blocks.0.gamma": torch.ones(32)}), "does not know"),
        (lambda w: w.update({TABLE: w[TABLE] + 0.1}), "sin-cos table"),
        (lambda w: w.update({TABLE: w[TABLE][:, :15]}), "no square grid"),
    ],
)
def test_other_weights_are_refused(change: Any, message: str) -> None:
    weights = theirs()
    change(weights)
    with pytest.raises(UserError, match=message):
        from_layout(weights, LAYOUTS["sit"], "the file")


def test_a_file_says_its_sizes() -> None:
    sizes = sizes_of(theirs(), "the file")
    assert (sizes.width, sizes.depth, sizes.patch_size, sizes.channels, sizes.num_classes) == (64, 4, 2, 4, 3)
    assert sizes.grid == Grid(4, 4)
