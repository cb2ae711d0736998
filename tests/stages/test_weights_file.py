"""Weights carry their recipe, and are used as they were trained, refused, or marked.

Longer than other files, because all of it starts from one training and one file of its weights.
"""

from __future__ import annotations

import copy
import json
import struct
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.planned import planned
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rpe2d_bench import report
from rpe2d_bench.cli import app, plan_view
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.stages.weights_file import RECIPE, UNKNOWN, WeightsFile, metadata_of
from rpe2d_bench.storage.record_parts import WeightsOrigin
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store

TRAINED = """\
schema_version: 1
name: weights
seeds: [0]
data: {name: glyphs}
model: {preset: DiT-Nano/4}
train: {steps: 2, batch_size: 8, num_pictures: 64, warmup: 1}
models:
  m: {encoding: {kind: axial_rope, theta: 100}}
methods:
  plain: {model: m}
  ntk: {model: m, frequencies: {kind: ntk}}
resolutions: [{train: 16, test: [16, 24]}]
evaluate: {sampler: {steps: 2}, num_samples: 4, metrics: [kid], judge: null}
report: {main_metric: kid}
"""
Recipe = dict[str, Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store]:
    """The experiment of a trained model and its store."""
    folder = tmp_path_factory.mktemp("trained")
    path, store = folder / "experiment.yaml", Store(folder / "runs")
    path.write_text(TRAINED)
    plan = planned(path)
    assert {record.status for record in run(plan, store, engine="local")} == {"ok"}
    return path, store


@pytest.fixture(scope="module")
def weights(trained: tuple[Path, Store]) -> Path:
    path, store = trained
    return store.folder("train", planned(path).trials[0].stage.key) / "weights.safetensors"


def using(folder: Path, checkpoint: Any, *changes: tuple[str, str], steps: int | None = 0) -> Path:
    """The experiment with a file's weights in the place of a training."""
    text = TRAINED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    own = "" if steps is None else f", train: {{steps: {steps}}}"
    text = text.replace("theta: 100}", f"theta: 100}}, checkpoint: {json.dumps(checkpoint)}{own}", 1)
    path = folder / "using.yaml"
    path.write_text(text)
    return path


def recipe_in(path: Path) -> Recipe:
    with safe_open(path, "pt") as file:
        found: Recipe = json.loads(file.metadata()[RECIPE])
    return found


def with_other_recipe(weights: Path, to: Path, change: Recipe) -> Path:
    """The same weights with another recipe."""
    recipe = copy.deepcopy(recipe_in(weights))
    for key, value in change.items():
        *parents, last = key.split(".")
        place = recipe
        for parent in parents:
            place = place[parent]
        place[last] = value
    save_file(load_file(weights), to, metadata=metadata_of(recipe))
    return to


def shown(plan: Plan, store: Store) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        plan_view.show(plan, store, console)
    return capture.get()


def test_trained_weights_say_what_they_were_trained_under(weights: Path) -> None:
    recipe = recipe_in(weights)
    assert recipe["encoding"]["kind"] == "axial_rope"
    assert recipe["encoding"]["theta"] == 100
    assert recipe["encoding"]["positions"] == {"kind": "grid"}
    assert (recipe["path"], recipe["train_grid"], recipe["train_resolution"]) == ("linear", [4, 4], [16, 16])
    assert (recipe["classes"], recipe["channels"], recipe["seed"]) == (10, 1, 0)
    assert recipe["model"] == {"preset": "DiT-Nano/4", "scan": "none", "stem": "none"}
    assert recipe["crops"] == {"kind": "none"}
    assert recipe["train"]["steps"] == 2
    assert recipe["data"]["name"] == "glyphs"
    assert recipe["autoencoder"] is None
    assert recipe["packages"]["torch"] == metadata.version("torch")
    assert {"commit", "uncommitted_changes"} <= set(recipe)


def test_what_is_kept_of_weights_makes_them_no_other_weights(weights: Path, tmp_path: Path) -> None:
    save_file(load_file(weights), tmp_path / "plain")
    with_other_recipe(weights, tmp_path / "told", {"commit": "another"})
    digests = {WeightsFile.at(str(path)).digest for path in (weights, tmp_path / "plain", tmp_path / "told")}
    assert len(digests) == 1
    moved = load_file(weights)
    moved["dit.patches_in.bias"] += 1e-3
    save_file(moved, tmp_path / "moved", metadata=metadata_of(recipe_in(weights)))
    assert WeightsFile.at(str(tmp_path / "moved")).digest not in digests


def test_weights_as_they_were_trained_need_no_word(weights: Path, trained: tuple[Path, Store], tmp_path: Path) -> None:
    plan, store = planned(using(tmp_path, str(weights))), Store(tmp_path / "runs")
    assert plan.remarks() == {}
    found = run(plan, store, engine="local")  # also the method that replaces frequencies
    assert {record.status for record in found} == {"ok"}
    assert not (store.root / "cache").exists(), "training images were rendered for no step"
    taken = store.folder("train", plan.trials[0].stage.key) / "weights.safetensors"
    assert recipe_in(taken) == recipe_in(weights)  # handed on, whatever their second home
    assert all(torch.equal(value, load_file(weights)[name]) for name, value in load_file(taken).items())
    before = {r.identity[1:]: r.metrics for r in run(planned(trained[0]), trained[1], engine="local") if r.method}
    assert before == {r.identity[1:]: r.metrics for r in found if r.method}


OTHERWISE = [
    ({"encoding.theta": 10000.0}, "theta 10000", "theta 100"),
    ({"encoding": {"kind": "axial_sincos"}}, "axial_sincos", "axial_rope"),
    ({"encoding": {"kind": "none"}}, "none", "axial_rope"),
    ({"encoding.positions": {"kind": "random", "max_grid": [8, 8]}}, "positions random", "positions grid"),
    ({"path": "vp"}, "path vp", "path linear"),
    ({"train_grid": [8, 8]}, "train grid 8x8", "train grid 4x4"),
    ({"classes": 5}, "classes 5", "classes 10"),
    ({"channels": 3}, "channels 3", "channels 1"),
    ({"model.scan": "alternate"}, "scan alternate", "scan none"),
    ({"crops": {"kind": "resize_and_crop"}}, "crops conditioned on", "crops none"),
    ({"autoencoder": "taef2-1"}, "autoencoder taef2-1", "autoencoder none"),
]


@pytest.mark.parametrize(("change", "trained_under", "used_under"), OTHERWISE, ids=lambda part: str(part)[:40])
def test_weights_of_another_recipe_are_refused_with_what_differs(
    weights: Path, tmp_path: Path, change: Recipe, trained_under: str, used_under: str
) -> None:
    file = with_other_recipe(weights, tmp_path / "w.safetensors", change)
    with pytest.raises(UserError) as refused:
        load_experiment(using(tmp_path, "w.safetensors"))
    output = str(refused.value)
    assert "using.yaml:8: checkpoint" in output
    assert f"was trained under {trained_under} and is used under {used_under};" in output
    assert "trust: true" in output
    plan = planned(using(tmp_path, {"path": "w.safetensors", "trust": True}))
    assert plan.remarks() == {"m": f"weights trained under {trained_under} are used under {used_under}"}
    assert plan.trials[0].stage.weights is not None
    assert plan.trials[0].stage.weights.path == str(file)


def test_trusted_weights_are_marked_in_plan_record_and_report(weights: Path, tmp_path: Path) -> None:
    with_other_recipe(weights, tmp_path / "w.safetensors", {"encoding.theta": 10000.0})
    store = Store(tmp_path / "runs")
    plan = planned(using(tmp_path, {"path": "w.safetensors", "trust": True}))
    sentence = "weights trained under theta 10000 are used under theta 100"
    assert sentence in " ".join(shown(plan, store).split())
    assert plan_view.as_dict(plan, store)["weights"] == {"m": sentence}
    found = run(plan, store, engine="local")
    (record,) = (record for record in found if record.stage == "train")
    assert record.training.weights.remark == sentence
    assert record.training.weights.recipe["encoding"]["theta"] == 10000
    assert_reported(found, store, tmp_path, sentence)


def assert_reported(found: list[Record], store: Store, folder: Path, sentence: str) -> None:
    page = report.render(found, store.root, folder / "report", None)
    for file in (page, page.parent / "report.md"):
        assert sentence in file.read_text(), file


def test_weights_without_a_recipe_are_taken_and_marked(weights: Path, tmp_path: Path) -> None:
    save_file(load_file(weights), tmp_path / "w.safetensors")
    plan, store = planned(using(tmp_path, "w.safetensors")), Store(tmp_path / "runs")
    assert plan.remarks() == {"m": UNKNOWN}
    assert f"weights m: {UNKNOWN}" in " ".join(shown(plan, store).split())
    found = run(plan, store, engine="local")
    (record,) = (record for record in found if record.stage == "train")
    digest = WeightsFile.at(str(weights)).digest
    assert record.training.weights == WeightsOrigin(digest=digest, recipe=None, trust=False, remark=UNKNOWN)
    taken = store.folder("train", plan.trials[0].stage.key) / "weights.safetensors"
    assert WeightsFile.at(str(taken)).recipe is None, "weights of an unknown recipe got one"
    assert_reported(found, store, tmp_path, UNKNOWN)


def test_a_training_may_start_from_another_recipe_and_says_so(weights: Path, tmp_path: Path) -> None:
    with_other_recipe(weights, tmp_path / "w.safetensors", {"encoding.theta": 10000.0})
    plan, store = planned(using(tmp_path, "w.safetensors", steps=1)), Store(tmp_path / "runs")
    assert plan.remarks() == {"m": "weights trained under theta 10000 are trained further under theta 100"}
    run(plan, store, engine="local")
    recipe = recipe_in(store.folder("train", plan.trials[0].stage.key) / "weights.safetensors")
    assert recipe["encoding"]["theta"] == 100
    assert recipe["starts_from"]["encoding"]["theta"] == 10000


def test_other_data_are_stated_and_not_refused(weights: Path, tmp_path: Path) -> None:
    with_other_recipe(weights, tmp_path / "w.safetensors", {"data": {"name": "letters", "revision": "letters-v1"}})
    (output,) = planned(using(tmp_path, "w.safetensors")).remarks().values()
    assert output.startswith("weights trained under data letters-v1 are used under data glyphs-")


def test_the_base_counts_wherever_it_is_written(weights: Path, tmp_path: Path) -> None:
    path = using(tmp_path, str(weights))
    path.write_text(path.read_text().replace(", theta: 100", ", frequencies: {kind: geometric, theta: 100}"))
    assert planned(path).remarks() == {}


def test_an_option_that_came_later_is_no_difference(weights: Path, tmp_path: Path) -> None:
    recipe = recipe_in(weights)
    del recipe["encoding"]["scale_reference"]
    save_file(load_file(weights), tmp_path / "w.safetensors", metadata=metadata_of(recipe))
    assert planned(using(tmp_path, "w.safetensors")).remarks() == {}


JUNK = {
    "empty": b"",
    "text": b"junk\n",
    "pickle": b"PK\x03\x04" + bytes(200),
    "header of nothing": struct.pack("<Q", 2) + b"{}",
    "endless header": struct.pack("<Q", 1 << 60) + b"{}",
    "no mapping": struct.pack("<Q", 2) + b"[]",
}


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK)
def test_what_is_no_safetensors_file_is_refused_with_its_place(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"using\.yaml:8: checkpoint \S*model\.pt is not a readable safetensors file"):
        load_experiment(using(tmp_path, "model.pt"))


def test_a_file_that_was_cut_is_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(UserError, match="does not hold the tensors"):
        load_experiment(using(tmp_path, "cut"))


@pytest.mark.parametrize(
    ("checkpoint", "output"),
    [
        ({"path": "w", "formt": "ours"}, "unknown key 'formt' .did you mean 'format'"),
        ({"trust": True}, "path is missing"),
        ({"path": "w", "format": "theirs"}, "format"),
        (3, "checkpoint"),
    ],
)
def test_a_wrong_spelling_is_refused(tmp_path: Path, checkpoint: Any, output: str) -> None:
    with pytest.raises(UserError, match=output):
        load_experiment(using(tmp_path, checkpoint))


def test_paths_are_seen_from_the_experiment_file_then_from_the_working_directory(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside, here):
        folder.mkdir()
    path = using(beside, "w.safetensors")
    monkeypatch.chdir(here)
    with pytest.raises(UserError, match=r"w\.safetensors is not a file"):
        load_experiment(path)
    (here / "w.safetensors").write_bytes(weights.read_bytes())
    first = planned(path)
    with_other_recipe(weights, beside / "w.safetensors", {"seed": 7})
    second = planned(path)
    found = [plan.trials[0].stage.weights for plan in (first, second)]
    assert [part and part.path for part in found] == [str(here / "w.safetensors"), str(beside / "w.safetensors")]
    assert first.run == second.run  # the content names the run, not the path
    assert first.trials[0].stage.key == second.trials[0].stage.key


def test_weights_that_are_left_out_are_trained_by_the_recipe_of_the_file(
    trained: tuple[Path, Store], weights: Path, tmp_path: Path
) -> None:
    path = using(tmp_path, str(weights))
    left_out = planned(path, "models.m.checkpoint=null")
    assert left_out.trials[0].stage.recipe.steps == 2
    assert left_out.trials[0].stage.key == planned(trained[0]).trials[0].stage.key
    path.write_text(path.read_text().replace(f"checkpoint: {json.dumps(str(weights))}, ", ""))
    with pytest.raises(UserError, match="no init or checkpoint"):  # forgotten, not left out
        load_experiment(path)


def test_weights_leave_the_store_with_their_recipe(
    trained: tuple[Path, Store], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, store = trained
    out = tmp_path / "out" / "w.safetensors"
    command = ["export-weights", str(path), "--store", str(store.root), "--model", "m", "--out", str(out)]
    app([*command, "--dtype", "float16"], standalone_mode=False)
    assert "with their recipe" in capsys.readouterr().out
    assert recipe_in(out) == recipe_in(weights)
    for name, value in load_file(out).items():
        assert torch.equal(value, load_file(weights)[name].half()), name
    assert planned(using(tmp_path, str(out))).remarks() == {}
    for wrong, output in (("--seed=3", "seeds 0"), ("--dtype=float8", "float32"), ("--store=nowhere", "not trained")):
        with pytest.raises(UserError, match=output):
            app([*command, wrong], standalone_mode=False)
