"""A diffusers pipeline as a model of an experiment: run end to end, cached, reported; or refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_pipelines
from typer.testing import CliRunner

from rpe2d_bench.cli import app
from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.encodings import FREQUENCIES, Grid
from rpe2d_bench.encodings.adapters import Rules
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.resolve.load import load
from rpe2d_bench.runner import run
from rpe2d_bench.sampling.pipeline import Asked, sample
from rpe2d_bench.sampling.pipeline import load as load_pipeline
from rpe2d_bench.sampling.pipeline_folder import PipelineFolder, inspect_pipeline
from rpe2d_bench.storage import images_file, records
from rpe2d_bench.storage.store import Store

pytest.importorskip("diffusers", reason="diffusers is not installed (extra: pipelines)")

LABELS = ", ".join(str(7 * k) for k in range(10))
CLASSES = f"""\
schema_version: 1
name: theirs
data: {{name: glyphs, channels: 3}}
models:
  dit: {{pipeline: {{path: ./dit, dtype: float32, labels: [{LABELS}]}}}}
methods:
  own: {{model: dit}}
  extrapolation: {{model: dit, frequencies: {{kind: geometric}}}}
  ntk: {{model: dit, frequencies: {{kind: ntk}}}}
resolutions: [{{train: 16, test: [16, 24]}}]
evaluate: {{sampler: {{steps: 2}}, num_samples: 6, metrics: [kid], judge: null}}
resources: {{trials_in_parallel: 1, sample_batch: 4}}
report: {{main_metric: kid, reference_method: ntk}}
"""
TEXTS = (
    CLASSES.replace(f"dit: {{pipeline: {{path: ./dit, dtype: float32, labels: [{LABELS}]}}}}",
                    "pixart: {pipeline: {path: ./pixart, dtype: float32}}")
    .replace("model: dit", "model: pixart").replace("test: [16, 24]", "test: [16, 24, [16, 32]]")
    .replace("methods:\n", "prompts: {file: prompts.txt}\nmethods:\n").replace("name: theirs", "name: texts")
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pipeline and the files lie."""
    place = tmp_path_factory.mktemp("pipelines")
    tiny_pipelines.dit(place / "dit")
    (place / "prompts.txt").write_text("a red cat\n\na green cat\n")
    return place


def plan_of(folder: Path, text: str = CLASSES, *overrides: str) -> Plan:
    file = folder / "experiment.yaml"
    file.write_text(text)
    return make_plan(load(file, overrides))


def images(plan: Plan, store: Store) -> dict[tuple[str, str], np.ndarray]:
    """Method and size -> its samples."""
    return {
        (cell.method, str(cell.test_resolution)): np.concatenate(
            list(images_file.pieces(store.folder("sample", cell.measure.generated.key) / images_file.NAME))  # type: ignore[union-attr]
        )
        for trial in plan.trials
        for cell in trial.cells
    }


def test_a_class_conditional_pipeline_runs_end_to_end_once(folder: Path, tmp_path: Path) -> None:
    plan, store = plan_of(folder), Store(tmp_path / "runs")
    found = run(plan, store, engine="local")
    assert {record.status for record in found} == {"ok"}
    (trained,) = [record for record in found if record.stage == "train"]
    assert trained.training is not None
    assert trained.training.steps == 0
    assert trained.training.parameters > 1000
    cells = {(r.method, r.test_resolution[0]): r for r in found if r.stage == "measure" and r.test_resolution}
    assert len(cells) == 6
    assert cells["own", 16].coincides_with == ("extrapolation", "ntk")  # nothing changes on the trained grid
    assert cells["own", 24].coincides_with == ()
    assert cells["own", 24].sampling is not None
    assert cells["own", 24].sampling.sampler is not None
    assert cells["own", 24].sampling.sampler.kind == "DDIMScheduler"
    assert records.read(store.root) == found  # what was written can be read
    made = images(plan, store)
    assert made["own", "24"].shape == (6, 3, 24, 24)
    assert not np.array_equal(made["own", "24"], made["extrapolation", "24"])
    assert not np.array_equal(made["ntk", "24"], made["extrapolation", "24"])
    before = sorted(p.stat().st_mtime_ns for p in (store.root / "stages").rglob("*") if p.is_file())
    assert run(plan_of(folder), store, engine="local") == found
    assert sorted(p.stat().st_mtime_ns for p in (store.root / "stages").rglob("*") if p.is_file()) == before


def test_a_pipeline_that_takes_texts_ends_in_a_report(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra: pipelines)")
    tiny_pipelines.pixart(folder / "pixart")
    (folder / "texts.yaml").write_text(TEXTS)
    store, reports = tmp_path / "runs", tmp_path / "reports"
    ran = CliRunner().invoke(
        app,
        ["run", str(folder / "texts.yaml"), "--engine", "local", "--store", str(store), "--reports", str(reports)],
        catch_exceptions=False,
    )
    assert ran.exit_code == 0, ran.output
    assert "a pipeline, used as it is" in ran.output
    page = (reports / "texts" / "index.html").read_text()
    assert "extrapolation" in page
    made = images(plan_of(folder, TEXTS), Store(store))
    assert made["own", "16x32"].shape == (6, 3, 16, 32)
    assert not np.array_equal(made["own", "24"][0], made["own", "24"][1])
    (folder / "prompts.txt").write_text("a green cat\n")
    other = plan_of(folder, TEXTS)
    (folder / "prompts.txt").write_text("a red cat\n\na green cat\n")
    keys = [cell.measure.key for p in (other, plan_of(folder, TEXTS)) for t in p.trials for cell in t.cells]
    assert not set(keys[: len(keys) // 2]) & set(keys[len(keys) // 2 :])  # other prompts, other images


def test_noise_is_that_of_an_image_whatever_its_batch(folder: Path) -> None:
    pipeline = load_pipeline(PipelineFolder.of(str(folder / "dit")), "float32", "cpu")
    rules = Rules(Grid(4, 4), FREQUENCIES["ntk"]())

    def drawn(rules: Rules | None, batch: int, count: int = 4, guidance: float = 1.0) -> np.ndarray:
        return np.concatenate(
            list(sample(pipeline, rules, Sampler(steps=2, guidance=guidance), asked=Asked("class_labels", [3] * count),
                        resolution=Resolution(24, 24), indices=np.arange(count), seed=0, batch_size=batch))
        )  # fmt: skip

    own = drawn(None, 4)
    np.testing.assert_allclose(own, drawn(None, 3), atol=1e-4)
    assert not np.allclose(own[0], own[1], atol=1e-2)
    assert not np.allclose(own, drawn(rules, 4), atol=1e-4)
    assert not np.allclose(own, drawn(None, 4, guidance=4.0), atol=1e-4)
    assert np.array_equal(own, drawn(None, 4))  # restored, the side of its squares, too
    assert pipeline.transformer.config.sample_size == 8
    assert torch.is_tensor(pipeline.transformer.pos_embed.pos_embed)


def test_the_key_is_the_content(folder: Path, tmp_path: Path) -> None:
    first = plan_of(folder)
    (tmp_path / "dit").symlink_to(folder / "dit")
    moved = plan_of(tmp_path)
    assert first.run == moved.run
    assert first.trials[0].stage.key == moved.trials[0].stage.key
    other = plan_of(folder, CLASSES.replace("dtype: float32", "dtype: bf16"))
    assert other.trials[0].stage.key != first.trials[0].stage.key
    config = folder / "dit" / "scheduler" / "scheduler_config.json"
    before = config.read_text()
    config.write_text(json.dumps(json.loads(before) | {"beta_end": 0.03}))
    changed = plan_of(folder).trials[0].stage.key
    config.write_text(before)
    assert changed != first.trials[0].stage.key


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("path: ./dit", "path: ./nowhere", "pipeline ./nowhere does not exist; give a folder"),
        (f", labels: [{LABELS}]", "", "the data has 10 classes and the pipeline 1000; write pipeline.labels"),
        (f"[{LABELS}]", "[1, 2]", "pipeline.labels needs 10 labels"),
        ("steps: 2", "steps: 2, kind: heun", "sampler.kind does not reach the pipeline of 'dit', its own scheduler"),
        ("steps: 2", "steps: 2, shift: 3", "sampler.shift does not reach the pipeline"),
        ("steps: 2", "steps: 2, compile: true", "of 'dit', it is sampled uncompiled; leave it out"),
        ("[16, 24]", "[16, [16, 32]]", "DiTPipeline makes squares only; 16x32 is none"),
        ("[16, 24]", "[16, 25]", "resolution 25 is not a multiple of the patch size 4; write 24 or 28"),
        ("channels: 3", "channels: 1", "pipelines make images of three channels"),
        ("metrics: [kid]", "metrics: [kid, attention_entropy]", "attention_entropy looks into a model of ours"),
        ("methods:\n", "prompts: {file: prompts.txt}\nmethods:\n", "no pipeline here takes text; leave prompts out"),
        ("methods:\n", "prompts: {file: none.txt}\nmethods:\n", "prompts.file: none.txt cannot be read"),
        ("ntk: {model: dit,", "ntk: {model: dit, upscale: true, refine: 0.5,", "refine does not reach a pipeline"),
        ("{kind: ntk}", "{kind: ntk}, logit_scale: {kind: yarn}", "a logit scale has no place; leave logit_scale out"),
        ("dtype: float32", "dtype: float8", "dtype"),
        ("  dit: {", "  dit: {encoding: {kind: axial_rope}, ", "encoding cannot be chosen for a pipeline"),
    ],
)  # fmt: skip
def test_what_cannot_work_has_its_place(folder: Path, old: str, new: str, sentence: str) -> None:
    assert old in CLASSES
    with pytest.raises(UserError, match=r"experiment\.yaml") as refused:
        plan_of(folder, CLASSES.replace(old, new, 1))
    assert sentence in str(refused.value)


def test_code_and_pickles_of_a_folder_are_never_touched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    index = json.loads((folder / "dit" / "model_index.json").read_text())
    (tmp_path / "a" / "model_index.json").write_text(json.dumps(index | {"transformer": ["mine", "Transformer"]}))
    with pytest.raises(UserError, match="its part 'transformer' is code of the folder's own, which is never run"):
        PipelineFolder.of(str(tmp_path / "a"))
    (tmp_path / "a" / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "a" / "transformer").mkdir()
    (tmp_path / "a" / "transformer" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match=r"no \.safetensors file, and pickled weights are never read"):
        PipelineFolder.of(str(tmp_path / "a"))
    with pytest.raises(UserError, match=r"has no model_index\.json"):
        PipelineFolder.of(str(tmp_path))


def test_inspect_says_what_a_folder_is(folder: Path) -> None:
    rows = dict(inspect_pipeline(str(folder / "dit"), Grid(6, 6)))
    assert rows["pipeline"] == "DiTPipeline, transformer DiTTransformer2DModel"
    assert rows["trained on"] == "16 px, 4x4 tokens"
    assert rows["own rule"].startswith("interpolation")
    assert rows["6x6"] == "24 px, interpolated from the trained 4x4 by the model's own rule"
    assert "no logit_scale" in rows["methods"]
    output = CliRunner().invoke(app, ["inspect", str(folder / "dit"), "--grid", "8x8"]).output
    assert "8x8         32 px, interpolated" in output
    assert dict(inspect_pipeline(str(folder / "dit"), Grid(3, 4)))["3x4"].endswith("inside the trained 4x4")
