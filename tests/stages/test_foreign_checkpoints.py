"""Weights of SiT, DiT and FiTv2 as entries of an experiment: taken as trained, trained further, inspected, and written.

Longer than other files, because all of it starts from one file of small weights in each layout.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.foreign_weights import fit, theirs
from helpers.toy_autoencoders import images, kl
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from rpe2d_bench.cli import app
from rpe2d_bench.encodings import Grid
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.stages.inspection import inspect
from rpe2d_bench.stages.weights_file import WeightsFile
from rpe2d_bench.storage.store import Store

EXPERIMENT = """\
schema_version: 1
name: foreign
data: {{name: image_folder, path: {folder}/images, test_share: 0.5, upscale: true}}
autoencoder: {{kind: diffusers, path: {folder}/kl, precision: float32}}
models:
  theirs: {{checkpoint: {{path: {path}, format: {layout}}}}}
methods:
  extrapolation: {{model: theirs}}
  interpolation: {{model: theirs, frequencies: {{kind: interpolated}}}}
resolutions: [{{train: 64, test: [64, [64, 96]]}}]
evaluate:
  sampler: {{steps: 2, guided_channels: 3, precision: float32}}
  num_samples: 4
  metrics: [kid]
  judge: null
report: {{main_metric: kid}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes, an autoencoder of four channels, and weights with two classes trained on 4x4 tokens."""
    root = tmp_path_factory.mktemp("foreign")
    images(root / "images", 32)
    kl(root / "kl")
    torch.save({"ema": theirs(classes=2), "model": {}}, root / "SiT.pt")
    torch.save(theirs(classes=2), root / "DiT.pt")
    save_file(fit(classes=2), root / "model_ema.safetensors")
    return root


def written(folder: Path, path: str, layout: str, *changes: tuple[str, str], to: str = "foreign.yaml") -> Path:
    text = EXPERIMENT.format(folder=folder, path=path, layout=layout)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / to).write_text(text)
    return folder / to


def planned(*args: Any) -> Plan:
    return make_plan(load_experiment(written(*args)))


@pytest.mark.parametrize(("path", "layout"), [("SiT.pt", "sit"), ("DiT.pt", "dit"), ("model_ema.safetensors", "fit")])
def test_a_whole_experiment_runs_on_their_weights(folder: Path, path: str, layout: str, tmp_path: Path) -> None:
    plan, store = planned(folder, path, layout), Store(tmp_path)
    assert plan.remarks() == {}
    found = run(plan, store, engine="local")
    assert [record.error for record in found if record.status == "failed"] == []
    assert not (store.root / "cache").exists(), "training images were drawn for no step"
    training = next(record for record in found if record.stage == "train")
    origin = training.training.weights
    assert origin is not None
    assert origin.digest == WeightsFile.of(plan.experiment.models["theirs"].checkpoint).digest  # type: ignore[arg-type]
    assert training.training.steps == 0
    cells = {(r.method, r.test_resolution): r for r in found if r.method}
    assert set(cells) == {(m, s) for m in ("extrapolation", "interpolation") for s in ((64, 64), (64, 96))}
    assert len({c.measure.key for c in plan.trials[0].cells if c.test_resolution == (64, 64)}) == 1  # coincide
    assert len({c.measure.key for c in plan.trials[0].cells if c.test_resolution == (64, 96)}) == 2
    for cell in plan.trials[0].cells:
        with np.load(store.folder("sample", cell.measure.generated.key) / "samples.npz") as samples:  # type: ignore[union-attr]
            assert samples["pictures"].shape == (4, 3, *cell.test_resolution)
    assert run(plan, store, engine="local") == found


def test_the_entry_is_completed_by_its_file(folder: Path) -> None:
    experiment = load_experiment(written(folder, "SiT.pt", "sit"))
    assert experiment.models["theirs"].encoding == {"kind": "axial_sincos"}
    model, recipe = experiment.model_of("theirs"), experiment.train_of("theirs")
    assert (model.preset, model.gelu, model.time_scale) == ("DiT-Nano/2", "tanh", 1.0)
    assert (recipe.steps, recipe.path, recipe.prediction) == (0, "linear", "velocity")
    other = load_experiment(written(folder, "DiT.pt", "dit")).train_of("theirs")
    assert (other.path, other.prediction) == ("linear_betas", "noise")
    third = load_experiment(written(folder, "model_ema.safetensors", "fit"))
    assert third.models["theirs"].encoding == {"kind": "axial_rope"}
    assert third.model_of("theirs").model_dump() == {
        "preset": "FiTv2-Nano/2", "scan": "none", "stem": "none", "time_scale": 1.0
    }  # fmt: skip


def test_the_content_and_how_it_is_read_decide_the_key(folder: Path, tmp_path: Path) -> None:
    def key(path: str, layout: str = "sit") -> str:
        return planned(folder, path, layout).trials[0].stage.key

    first = key("SiT.pt")
    (tmp_path / "elsewhere.pt").write_bytes((folder / "SiT.pt").read_bytes())
    assert key(str(tmp_path / "elsewhere.pt")) == first
    assert key("SiT.pt", "dit") != first
    moved = theirs(classes=2)
    moved["x_embedder.proj.bias"] += 1e-3
    torch.save({"ema": moved}, tmp_path / "moved.pt")
    assert key(str(tmp_path / "moved.pt")) != first


class _Executed:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (Path("executed"), "by a file of weights"))


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"ema": theirs(), "args": _Executed()}))


def _saved_with_objects(path: Path) -> None:
    torch.save({"ema": theirs(), "args": _Executed()}, path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_pickled, "pickled objects beyond tensors"),
        (_saved_with_objects, "pickled objects beyond tensors"),
        (lambda path: path.write_bytes(b"no weights"), "pickled objects beyond tensors, or is no file"),
        (lambda path: torch.save({"ema": 3}, path), "holds no weights by name"),
        (lambda path: torch.save({"layer.weight": torch.ones(2)}, path), "no weights of SiT, DiT or FiT"),
        (lambda path: torch.save({**theirs(), "x_embedder.proj.weight": torch.ones(64, 16)}, path), "FiT"),
    ],
)
def test_what_is_no_file_of_theirs_is_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "bad.pt")
    with pytest.raises(UserError, match=rf"foreign\.yaml:\d+: .*{message}"):
        load_experiment(written(folder, str(tmp_path / "bad.pt"), "sit"))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("train: 64", "train: 96"), "train grid 4x4 and is used under train grid 6x6"),
        (("format: sit}", "format: sit}, encoding: {kind: axial_rope}"), "axial_sincos and is used under axial_rope"),
        (("format: sit}", "format: sit}, model: {preset: DiT-Mini/2}"), "DiT-Nano/2 and is used under .*DiT-Mini/2"),
        (("train: 64", "train: 72"), "multiple of the autoencoder's 8 px times the patch size, 16"),
        (("SiT.pt", "absent.pt"), "does not exist; give the file, or to plan without it"),
    ],
)
def test_what_their_weights_cannot_be_used_for_is_refused(folder: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        planned(folder, "SiT.pt", "sit", change)


def test_a_plan_counts_without_the_weights_and_says_that_they_are_missing(folder: Path, tmp_path: Path) -> None:
    there = planned(folder, "SiT.pt", "sit")
    plan = planned(folder, "absent.pt", "sit", ("format: sit}", "format: sit}, model: {preset: DiT-Nano/2}"))
    assert "absent.pt is not there yet" in plan.remarks()["theirs"]
    assert len(plan.measures()) == len(there.measures())
    with pytest.raises(UserError, match=r"absent\.pt does not exist; give the file"):
        run(plan, Store(tmp_path), engine="local")


OURS = """\
schema_version: 1
name: ours
data: {name: glyphs}
model: {preset: DiT-Nano/4, gelu: tanh, time_scale: 1}
train: {steps: 3, batch_size: 8, num_images: 32, warmup: 1, precision: float32}
models:
  m: {encoding: {kind: axial_sincos}}
methods:
  plain: {model: m}
resolutions: [{train: 16, test: [16, 24]}]
evaluate: {sampler: {steps: 2, precision: float32}, num_samples: 4, metrics: [kid], judge: null}
report: {main_metric: kid}
"""
RETROFIT = """\
models:
  m: {checkpoint: {path: sit.pt, format: sit}}
  random:
    checkpoint: {path: sit.pt, format: sit}
    encoding: {kind: axial_rope, positions: {kind: random, max_grid: [8, 8]}}
    crops: {kind: resize_and_crop}
    train: {steps: 2}
methods:
  plain: {model: m}
  interpolation: {model: m, frequencies: {kind: interpolated}}
  yarn: {model: m, frequencies: {kind: yarn}, logit_scale: {kind: yarn}}
  random: {model: random}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment of ours, its store, and its weights in SiT's layout."""
    root = tmp_path_factory.mktemp("ours")
    (root / "ours.yaml").write_text(OURS)
    found = run(make_plan(load_experiment(root / "ours.yaml")), Store(root / "runs"), engine="local")
    assert {record.status for record in found} == {"ok"}
    for command in (
        ["export", str(root / "ours.yaml"), "--model", "m", "--out", str(root / "ours.safetensors"),
         "--store", str(root / "runs")],
        ["export", str(root / "ours.safetensors"), "--format", "sit", "--out", str(root / "sit.pt")],
        ["export", str(root / "ours.safetensors"), "--format", "sit", "--out", str(root / "sit.safetensors")],
    ):  # fmt: skip
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    return root


def test_our_weights_in_their_layout_come_back_as_they_were(trained: Path) -> None:
    from rpe2d_bench.stages.foreign_file import weights_of

    before = {name.removeprefix("dit."): value for name, value in load_file(trained / "ours.safetensors").items()}
    for path in (trained / "sit.pt", trained / "sit.safetensors"):
        back = weights_of(path, "sit")
        assert set(back) == set(before)
        assert max(float((back[name] - value).abs().max()) for name, value in before.items()) < 1e-6


def test_a_store_gives_their_layout_in_one_step(trained: Path) -> None:
    out = trained / "direct.safetensors"
    command = ["export", str(trained / "ours.yaml"), "--model", "m", "--format", "sit", "--out", str(out)]
    result = CliRunner().invoke(app, [*command, "--store", str(trained / "runs")])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(str(out))  # not the file in between
    by_way, direct = load_file(trained / "sit.safetensors"), load_file(out)
    assert by_way.keys() == direct.keys()
    assert all((by_way[name] == direct[name]).all() for name in by_way)
    for wrong, sentence in (
        (["export", str(trained / "ours.yaml"), "--out", str(out)], "--model is missing"),
        (["export", str(trained / "ours.safetensors"), "--out", str(out)], "is in our format already"),
        ([*command[:4], "--out", "weights.pt"], "the name ends with .safetensors"),
    ):
        assert sentence in str(CliRunner().invoke(app, wrong).exception)


def test_a_retrofit_is_compared_with_training_free_rules_in_one_report(trained: Path, tmp_path: Path) -> None:
    from rpe2d_bench import report

    head, tail = OURS.split("models:")[0], "resolutions:" + OURS.split("resolutions:")[1]
    (trained / "retrofit.yaml").write_text(head + RETROFIT + tail)
    plan, store = make_plan(load_experiment(trained / "retrofit.yaml")), Store(tmp_path / "runs")
    assert set(plan.remarks()) == {"random"}
    assert "are trained further under axial_rope" in plan.remarks()["random"]
    found = run(plan, store, engine="local")
    assert [record.error for record in found if record.status == "failed"] == []
    trainings = {record.model: record for record in found if record.stage == "train"}
    assert (trainings["m"].training.flops, trainings["random"].training.steps) == (0, 2)
    assert trainings["random"].training.flops > 0
    text = report.render(found, store.root, tmp_path / "report", None).read_text()
    assert all(method in text for method in ("interpolation", "yarn", "random"))
    assert "trained further under axial_rope" in text
    # The same weights by way of SiT's layout make the same images
    ours = make_plan(load_experiment(trained / "ours.yaml"))
    for cell in ours.trials[0].cells:
        other = next(c for t in plan.trials for c in t.cells
                     if (c.method, c.test_resolution) == (cell.method, cell.test_resolution))  # fmt: skip
        one, two = (
            np.load(s.folder("sample", c.measure.generated.key) / "samples.npz")["pictures"].astype(int)
            for s, c in ((Store(trained / "runs"), cell), (store, other))
        )
        assert abs(one - two).max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": {"kind": "axial_rope"}}, "encoding axial_rope; the code of willisma/SiT computes axial_sincos"),
        ({"path": "linear_betas"}, "train.path linear_betas; .* computes linear"),
        ({"model": {"preset": "DiT-Nano/4", "scan": "none", "stem": "none"}}, "model.gelu none; .* computes tanh"),
        ({"crops": {"kind": "resize_and_crop"}}, "crops resize_and_crop"),
        ({"train_grid": [4, 6]}, "train grid's height 4"),
    ],
)
def test_what_their_code_cannot_compute_is_not_exported(
    trained: Path, tmp_path: Path, change: Any, message: str
) -> None:
    from rpe2d_bench.stages.weights_file import metadata_of

    recipe = {**(WeightsFile.at(str(trained / "ours.safetensors")).recipe or {}), **change}
    save_file(load_file(trained / "ours.safetensors"), tmp_path / "w.safetensors", metadata=metadata_of(recipe))
    command = ["export", str(tmp_path / "w.safetensors"), "--format", "sit", "--out", str(tmp_path / "out.pt")]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=message):
        raise result.exception
    assert not (tmp_path / "out.pt").exists()


def test_a_file_is_inspected(folder: Path, trained: Path) -> None:
    found = inspect(folder / "SiT.pt", grid=Grid(6, 6))
    assert (found.format, found.recipe["train_grid"]) == ("sit", [4, 4])  # type: ignore[index]
    assert "width 64, 4 blocks, patch 2, 4 channels, 2 classes" in found.architecture
    assert "interpolated" in found.methods["frequencies"]
    assert "6x6: extrapolated with the encoding as trained on 4x4" in (found.where or "")
    assert "interpolated with frequencies" in (found.where or "")
    assert "inside" in (inspect(folder / "SiT.pt", grid=Grid(4, 3)).where or "")
    result = CliRunner().invoke(app, ["inspect", str(trained / "ours.safetensors"), "--grid", "4x4", "--json"])
    assert json.loads(result.output)["format"] == "ours"
    lines = CliRunner().invoke(app, ["inspect", str(folder / "DiT.pt")]).output
    assert "noise along the path linear_betas" in lines
    lines = CliRunner().invoke(app, ["inspect", str(folder / "model_ema.safetensors")]).output
    assert "FiTv2-Nano/2: width 64, 4 blocks, patch 2, 4 channels, 2 classes" in lines
    assert "velocity along the path linear" in lines
    assert "fit_code" in lines
    for path, message in ((folder / "images", "is a folder"), (folder / "nothing.pt", "does not exist")):
        with pytest.raises(UserError, match=message):
            inspect(path)
    (folder / "weights.pt").write_bytes((folder / "SiT.pt").read_bytes())
    with pytest.raises(UserError, match="write --format sit, or dit"):
        inspect(folder / "weights.pt")


@pytest.mark.parametrize(("name", "model", "layout"), [("sit_xl_2", "sit", "sit"), ("fitv2_xl_2", "fit", "fit")])
def test_a_shipped_plan_runs_on_tiny_weights(folder: Path, tmp_path: Path, name: str, model: str, layout: str) -> None:
    """As it stands, but for what makes it large and for nets and statistics that nothing here may download."""
    weights = fit(classes=2) if layout == "fit" else theirs(grid=Grid(16, 16), classes=2)
    save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / "tiny.safetensors")
    changes = {
        f"models.{model}.checkpoint.path": tmp_path / "tiny.safetensors",
        "model.preset": f"{'FiTv2' if layout == 'fit' else 'DiT'}-Nano/2",
        "data": f"{{name: image_folder, path: {folder}/images, test_share: 0.5, upscale: true}}",
        "autoencoder.path": folder / "kl",
        "autoencoder.precision": "float32",
        "evaluate.sampler.steps": 1 if layout == "fit" else 2,
        "evaluate.sampler.precision": "float32",
        "evaluate.num_samples": 2,
        "evaluate.features": "glyphnet",
        "evaluate.reference": "null",
        "evaluate.metrics": "[kid]",
        "report.main_metric": "kid",
        "resolutions": "[{train: 256, test: [384, [224, 448]]}]",
        "resources.device": "cpu",
        "resources.gpus_per_trial": 0,
    }
    shipped = Path(__file__).parents[2] / "experiments" / f"{name}.yaml"
    plan = make_plan(load_experiment(shipped, [f"{key}={value}" for key, value in changes.items()]))
    found = run(plan, Store(tmp_path / "runs"), engine="local")
    assert [record.error for record in found if record.status == "failed"] == []
    assert {record.method for record in found if record.test_resolution == (384, 384)} >= set(plan.experiment.methods)
    if layout == "fit":  # the rules per axis and those of the larger axis are one on squares
        keys = {c.method: c.measure.key for c in plan.trials[0].cells if c.test_resolution == (384, 384)}
        wide = {c.method: c.measure.key for c in plan.trials[0].cells if c.test_resolution == (224, 448)}
        assert (len(set(keys.values())), len(set(wide.values()))) == (6, 8)


def test_fitv2_is_trained_further_and_written_back(folder: Path, tmp_path: Path) -> None:
    """Random positions as a retrofit of FiTv2, and training under its own ones with the way back into its layout."""
    from rpe2d_bench.stages.foreign_file import weights_of

    file = "{path: model_ema.safetensors, format: fit}, train: {steps: 2, batch_size: 4, warmup: 1, precision: float32}"
    random = "encoding: {kind: axial_rope, positions: {kind: random, max_grid: [8, 8]}}"
    entries = f"random: {{checkpoint: {file}, {random}}}\n  same: {{checkpoint: {file}}}"
    plan = planned(
        folder, "model_ema.safetensors", "fit",
        ("theirs: {checkpoint: {path: model_ema.safetensors, format: fit}}", entries), ("[64, [64, 96]]", "[64]"),
        ("{model: theirs}", "{model: random}"), ("{model: theirs, f", "{model: same, f"),
    )  # fmt: skip
    assert "are trained further under positions random" in plan.remarks()["random"]
    found = run(plan, Store(tmp_path / "runs"), engine="local")
    assert [record.error for record in found if record.status == "failed"] == []
    outputs = []
    for model in ("random", "same"):
        command = ["export", str(folder / "foreign.yaml"), "--model", model, "--store", str(tmp_path / "runs")]
        for layout in ("ours", "fit"):
            out = str(tmp_path / f"{model}_{layout}.safetensors")
            outputs.append(CliRunner().invoke(app, [*command, "--format", layout, "--out", out]))
    assert [result.exit_code for result in outputs] == [0, 1, 0, 0]
    assert "the code of whlzy/FiT computes axial_rope with its defaults" in str(outputs[1].exception)
    ours, back = load_file(tmp_path / "same_ours.safetensors"), weights_of(tmp_path / "same_fit.safetensors", "fit")
    before = weights_of(folder / "model_ema.safetensors", "fit")
    assert max((back[name] - ours[f"dit.{name}"]).abs().max() for name in back) < 1e-6
    assert max((back[name] - value).abs().max() for name, value in before.items()) > 1e-6  # it was trained


def test_random_positions_are_inside_their_range() -> None:
    from rpe2d_bench.stages.inspection import _where

    recipe = {
        "train_grid": [8, 8],
        "model": {"preset": "DiT-Nano/4"},
        "encoding": {"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [16, 16]}},
    }
    assert "16x16: inside" in _where(recipe, Grid(16, 16), ())
    assert "17x16: extrapolated" in _where(recipe, Grid(17, 16), ())
