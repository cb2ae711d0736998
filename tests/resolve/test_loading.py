"""Bad experiment files: one sentence with file, line and a suggestion, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.refused import refused

from rpe2d_bench.errors import UserError
from rpe2d_bench.resolve.load import load_experiment

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))


@pytest.mark.parametrize(
    ("written", "instead", "output"),
    [
        ("steps: 8", "stepz: 8", "unknown key 'stepz' (did you mean 'steps'?)"),
        ("  ntk: {model: rope, freq", "  ntk: {model: rope, upscail: true, freq", "did you mean 'upscale'?"),
        ("{kind: ntk}", "{kind: ntkk}", "did you mean 'ntk'?"),
        ("{kind: ntk}", "{kind: ntk, thetta: 3}", "has no option 'thetta' (did you mean 'theta'?)"),
        ("{kind: axial_rope}}", "{kind: axial_ropes}}", "did you mean 'axial_rope'?"),
        ("steps: 8", "steps: many", "train.steps: input should be a valid integer"),
        ("steps: 8", "steps: -8", "train.steps: input should be greater than or equal to 0"),
        ("num_samples: 12", "num_samples: 1", "evaluate.num_samples"),
        ("extrapolation: {model: rope}", "extrapolation: {model: rop}", "did you mean 'rope'?"),
        ("reference_method: ntk", "reference_method: ntkk", "did you mean 'ntk'?"),
        ("test: [16,", "test: [18,", "resolution 18 is not a multiple of the patch size 4; write 16 or 20"),
        ("test: [16,", "test: [40,", "max_grid 8x8 is smaller than the grid of 10x10 tokens"),
        ("{name: glyphs}", "{name: glyfs}", "did you mean 'glyphs'?"),
        ("{name: glyphs}", "{name: image_folder, path: nowhere}", "nowhere"),
        ("metrics: [kid, accuracy]", "metrics: [kids]", "did you mean 'kid'?"),
        ("main_metric: kid", "main_metric: fd", "'fd' is not among evaluate.metrics"),
        ("DiT-Nano/4", "DiT-Nono/4", "did you mean 'DiT-Nano'?"),
        ("DiT-Nano/4", "DiT-Nano", "lacks its patch size; write for example DiT-Nano/4"),
        ("{kind: resize_and_crop}", "{kind: resize_and_crop, max_zoom: 0.5}", "max_zoom must be above 1"),
        ("sampler: {precision: float32, steps: 2}", "sampler: {kind: oiler}", "did you mean 'euler'?"),
        ("seeds: [0]", "seeds: [0, 0]", "an entry occurs twice"),
        ("seeds: [0]", "seeds: [0", "broken YAML"),
        ("schema_version: 1", "schema_version: 2", "schema_version"),
        ("name: tiny", "name: ../tiny", "name: write letters without accents, digits, _, . and -"),
        ("name: tiny", "name: 12", "name: text belongs here, got 12; write it in quotes"),
        ("name: tiny", "name:", "name: has no value; write one"),
        ("seeds: [0]", "seeds: 0", "seeds: write a list, such as [0]; got 0"),
        ("seeds: [0]", "seeds: []", "seeds: at least 1 entry here, got []"),
        ("test: [16,", "test: [16x32,", "resolutions.0.test.0: write a list, such as [16, 32]; got '16x32'"),
        ("test: [16,", "test: [16, 16,", "16 is tested twice; write it once"),
        ("{name: glyphs}", "glyphs", "data: write a mapping, such as {key: value}; got 'glyphs'"),
        ("steps: 8,", "steps: 8, steps: 9,", "the key 'steps' is written twice"),
    ],
)
def test_mistakes_are_named_with_their_place(tiny: Path, written: str, instead: str, output: str) -> None:
    assert output in refused(tiny, written, instead)[0]


def test_the_line_is_the_mistakes(tiny: Path) -> None:
    message, line = refused(tiny, "num_samples: 12", "num_sample: 12")
    assert "unknown key 'num_sample'" in message
    assert "num_sample:" in tiny.read_text().splitlines()[line - 1]


@pytest.mark.parametrize(("content", "output"), [("", "the file is empty"), ("- 1", "an experiment is a mapping")])
def test_files_that_are_no_experiments(tiny: Path, content: str, output: str) -> None:
    tiny.write_text(content)
    with pytest.raises(UserError, match=output):
        load_experiment(tiny)


def test_absent_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_experiment(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="cannot be read"):
        load_experiment(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("override", "output"),
    [
        ("train.stepz=9", "--set train.stepz=9: unknown key 'stepz'"),
        ("train.steps", "write PATH.TO.KEY=VALUE"),
        ("trian.steps=9", "--set trian.steps=9: unknown key 'trian' (did you mean 'train'?)"),
        ("name.of.it=9", "there is no section 'name'"),
        ("methods.absent.sampler.steps=3", "--set methods.absent.sampler.steps=3: methods.absent.model is missing"),
        ("evaluate.sampler.shift=0", ": evaluate.sampler.shift: write sqrt_tokens"),
        ("methods.ntk.sampler={shift: -1}", ": methods.ntk.sampler.shift: write sqrt_tokens"),
        ("models.rope.train={lr: 0}", ": models.rope.train.lr: input should be greater than 0"),
        ("models.rope.train={milestones: [9]}", ": models.rope.train.milestones: 9 is no step of a training of 8"),
        ("resources.gpus_per_trial=x", ": resources.gpus_per_trial: write auto or a number"),
        ("evaluate.reference={statistics: {2x: a}}", ": evaluate.reference.statistics: a resolution is written"),
        ("train.steps=[", "the value is not YAML"),
        ("resolutions.7.train=16", "there is no section 'resolutions.7'"),
        ("train.lr=" + "1" * 5001, "5,001 digits"),
        ('data.name="\\uD800"', "half of a surrogate pair"),
        ("train.lr=&a [*a]", "contains itself"),
        ("train.lr=!!timestamp 2024-13-45", "is not taken"),
        ("seeds." + "9" * 5000 + "=1", "no entry"),
        ("a\u2028b=1", "U+2028"),
    ],
)
def test_bad_overrides_are_named(tiny: Path, override: str, output: str) -> None:
    with pytest.raises(UserError) as raised:
        load_experiment(tiny, [override])
    assert output in str(raised.value)


def test_an_override_opens_sections_that_the_file_leaves_out(tiny: Path) -> None:
    text = tiny.read_text()
    (line,) = [line for line in text.splitlines() if line.strip().startswith("sampler:")]
    tiny.write_text(text.replace(line + "\n", ""))
    loaded = load_experiment(tiny, ["evaluate.sampler.steps=3", "methods.ntk.sampler.guidance=1.5"])
    assert loaded.evaluate.sampler.steps == 3
    assert (loaded.sampler_of("ntk").steps, loaded.sampler_of("ntk").guidance) == (3, 1.5)


def test_milestones_of_a_model_are_steps_of_the_whole_recipe(tiny: Path) -> None:
    found = load_experiment(tiny, ["models.rope.train={milestones: [8]}"]).train_of("rope")
    assert (found.steps, found.milestones) == (8, (8,))
    with pytest.raises(UserError, match=r": models\.rope\.train\.milestones: 8 is no step of a training of 4"):
        load_experiment(tiny, ["train.milestones=[8]", "models.rope.train={steps: 4}"])


def test_overrides_reach_the_experiment(tiny: Path) -> None:
    loaded = load_experiment(tiny, ["train.steps=9", "models.rope.train={lr: 1e-4}", "resolutions.0.test=[32]"])
    assert loaded.train.steps == 9
    assert loaded.train_of("rope").lr == 1e-4
    assert loaded.train_of("rpe2d").lr == loaded.train.lr
    assert loaded.resolutions[0].test == ((32, 32),)


def test_only_keeps_methods_and_their_models(tiny: Path) -> None:
    loaded = load_experiment(tiny, only=["rpe2d"])
    assert list(loaded.methods) == ["rpe2d"]
    assert list(loaded.models) == ["rpe2d"]
    assert loaded.report.reference_method is None
    with pytest.raises(UserError, match="did you mean 'rpe2d'"):
        load_experiment(tiny, only=["rpe3d"])


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid_and_says_what_it_asks(path: Path) -> None:
    if "path" not in path.read_text():  # those on real images need a path that only the user knows
        load_experiment(path)
    first = path.read_text().splitlines()[0]
    assert first.startswith("# Question: ")
    assert first.rstrip().endswith("?")


def test_new_names_stand_beside_the_old_ones(tiny: Path) -> None:
    old = load_experiment(tiny, ["train.num_pictures=40", "evaluate.judge=null", "evaluate.metrics=[kid]"])
    new = load_experiment(tiny, ["train.num_images=40", "evaluate.classifier=null", "evaluate.metrics=[kid]"])
    assert new == old
    assert new.train.num_pictures == 40
    assert new.evaluate.judge is None
    part = load_experiment(tiny, ["models.rope.train={num_images: 8}"])
    assert part.train_of("rope").num_pictures == 8
