"""The schema for editors says what the loader does, and the generated files are current."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from rpe2d_bench import data, encodings, metrics
from rpe2d_bench.config import experiment as config
from rpe2d_bench.errors import UserError
from rpe2d_bench.reference import json_schema
from rpe2d_bench.reference.__main__ import write
from rpe2d_bench.reference.experiment_page import page
from rpe2d_bench.resolve.load import load_experiment

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return json_schema.schema()


@pytest.fixture(scope="module")
def validator(made: dict[str, Any]) -> Draft202012Validator:
    Draft202012Validator.check_schema(made)
    return Draft202012Validator(made)


def test_the_generated_files_are_current(made: dict[str, Any]) -> None:
    advice = "run: python -m rpe2d_bench.reference docs"
    assert (ROOT / "docs" / json_schema.SCHEMA_FILE).read_text() == json_schema.text(), advice
    assert (ROOT / "docs" / json_schema.PAGE_FILE).read_text() == page(), advice


def test_writing_makes_both(tmp_path: Path, made: dict[str, Any]) -> None:
    write(tmp_path / "docs")
    assert json.loads((tmp_path / "docs" / json_schema.SCHEMA_FILE).read_text()) == json.loads(json.dumps(made))
    assert (tmp_path / "docs" / json_schema.PAGE_FILE).read_text().startswith("# The experiment file")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_fits(validator: Draft202012Validator, path: Path) -> None:
    assert [error.message for error in validator.iter_errors(yaml.safe_load(path.read_text()))] == []


CHANGES = [
    ("train.steps", "many"),
    ("train.steps", -8),
    ("train.stepz", 8),
    ("train.path", "linea"),
    ("evaluate.sampler.kind", "oiler"),
    ("evaluate.metrics", ["kids"]),
    ("evaluate.features", "glyphnett"),
    ("evaluate.judge", "inception"),
    ("evaluate.split", "train"),
    ("model.preset", "DiT-Nano"),
    ("model.preset", "DiT-Nono/4"),
    ("data.name", "glyfs"),
    ("data.fontz", ["sans"]),
    ("data.channels", 2),
    ("models.rope.encoding.kind", "axial_ropes"),
    ("models.rope.encoding.thetta", 3),
    ("models.rope.train", {"lrr": 1}),
    ("models.rope.train", {"lr": -1}),
    ("models.rpe2d.encoding.positions", {"kind": "random"}),
    ("models.rpe2d.encoding.positions.draw", "integers"),
    ("models.rpe2d.crops.kind", "crop"),
    ("methods.ntk.frequencies.kind", "ntkk"),
    ("methods.ntk.frequencies.clamp", "perhaps"),
    ("methods.ntk.upscail", True),
    ("methods.ntk.sampler", {"stepz": 2}),
    ("resolutions", []),
    ("resources.device", "tpu"),
    ("report.main", "kid"),
    ("schema_version", 2),
]
FITTING = [
    ("resolutions", [{"train": [16, 16], "test": [24, [16, 32]]}]),
    ("evaluate.judge", None),
    ("evaluate.metrics", ["kid"]),
    ("models.rope.train", {"lr": 1e-4}),
    ("models.rope.encoding.theta", 100),
    ("methods.ntk.sampler", {"shift": "sqrt_tokens", "steps": 3}),
    ("methods.ntk.logit_scale", {"kind": "yarn", "factor": 0.2}),
    ("methods.ntk.frequencies", {"kind": "yarn", "scale_from": "larger"}),
    ("data", {"name": "glyphs", "colour": "random", "channels": 3}),
]


def changed(experiment: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    experiment = copy.deepcopy(experiment)
    *parents, last = path.split(".")
    target = experiment
    for part in parents:
        target = target[part]
    target[last] = value
    return experiment


@pytest.mark.parametrize(("path", "value"), CHANGES, ids=lambda part: str(part))
def test_what_the_loader_refuses_the_schema_refuses(
    tiny: Path, validator: Draft202012Validator, path: str, value: Any
) -> None:
    wrong = changed(yaml.safe_load(tiny.read_text()), path, value)
    assert not validator.is_valid(wrong)
    tiny.write_text(yaml.safe_dump(wrong))
    with pytest.raises(UserError):
        load_experiment(tiny)


@pytest.mark.parametrize(("path", "value"), FITTING, ids=lambda part: str(part))
def test_what_the_loader_takes_the_schema_takes(
    tiny: Path, validator: Draft202012Validator, path: str, value: Any
) -> None:
    written = changed(yaml.safe_load(tiny.read_text()), path, value)
    if path.startswith("evaluate"):
        written["evaluate"] = {**written["evaluate"], "metrics": ["kid"]}
    assert [error.message for error in validator.iter_errors(written)] == []
    tiny.write_text(yaml.safe_dump(written))
    load_experiment(tiny)


OUTSIDE = {
    "pipelines": {"theirs": {"pipeline": {"path": "./no_such_folder"}}},
    "weights": {"sit": {"checkpoint": {"path": "sit.pt", "format": "sit"}}},
    "both": {
        "theirs": {"pipeline": {"path": "./no_such_folder"}},
        "sit": {"checkpoint": {"path": "sit.pt", "format": "sit"}},
    },
    "a file of ours": {"ours": {"checkpoint": "ours.safetensors"}},
}


@pytest.mark.parametrize("models", OUTSIDE)
def test_what_is_not_trained_needs_no_size_and_no_recipe(
    tiny: Path, validator: Draft202012Validator, models: str
) -> None:
    whole = yaml.safe_load(tiny.read_text()) | {"models": OUTSIDE[models]}
    bare = {key: value for key, value in whole.items() if key not in ("model", "train")}
    assert validator.is_valid(whole) is (models != "a file of ours")  # which has no encoding
    assert validator.is_valid(bare) is (models in ("pipelines", "weights"))


@pytest.mark.parametrize(
    ("models", "complaint"), [("pipelines", "which does not exist"), ("a file of ours", "is missing")]
)
def test_the_loader_asks_for_size_and_recipe_where_the_schema_does(tiny: Path, models: str, complaint: str) -> None:
    written = yaml.safe_load(tiny.read_text()) | {"models": OUTSIDE[models]}
    tiny.write_text(yaml.safe_dump({key: value for key, value in written.items() if key not in ("model", "train")}))
    with pytest.raises(UserError, match=complaint):
        load_experiment(tiny)


def test_every_kind_and_field_is_there(made: dict[str, Any]) -> None:
    parts = made["$defs"]
    tables = {
        "data": data.DATASETS,
        "encoding": encodings.ENCODINGS,
        "positions": encodings.POSITIONS,
        "frequencies": encodings.FREQUENCIES,
        "logit_scale": encodings.LOGIT_SCALES,
    }
    for part, table in tables.items():
        key = json_schema.key_of(part)
        assert set(parts[part]["properties"][key]["enum"]) == set(table)
        assert [branch["properties"][key]["const"] for branch in parts[part]["oneOf"]] == sorted(table)
    assert set(parts["Evaluate"]["properties"]["metrics"]["items"]["enum"]) == {*metrics.METRICS, "fid"}
    text = page()
    for name, model in (("Train", config.Train), ("Resources", config.Resources), ("Sampler", config.Sampler)):
        new = config.NEW_NAMES.get(name, {})
        assert set(parts[name]["properties"]) == {*model.model_fields, *new}
        for field in model.model_fields:
            assert f"| `{field}` |" in text
    for table in tables.values():
        for kind in table:
            assert f": {kind}`**" in text


def test_comments_of_fields_are_their_descriptions(made: dict[str, Any]) -> None:
    assert json_schema.comments(config.Evaluate)["split"] == "tuning uses validation and never sees test"
    assert made["$defs"]["Evaluate"]["properties"]["split"]["description"].startswith("tuning uses validation")
    output = json_schema.comments(config.MethodEntry)
    assert "complete images" in output["conditioning"]  # at the end of a definition of several lines
    assert "sampler" not in output  # no comment, no description
    options = {branch["properties"]["name"]["const"]: branch for branch in made["$defs"]["data"]["oneOf"]}
    assert "mirrored" in options["image_folder"]["properties"]["flip"]["description"]


def test_a_single_number_is_a_square_and_nothing_else_is(validator: Draft202012Validator, tiny: Path) -> None:
    experiment = yaml.safe_load(tiny.read_text())
    for test, fits in ((24, True), ([16, 32], True), ([16, 32, 3], False), (0, False), ("24", False)):
        written = changed(experiment, "resolutions", [{"train": 16, "test": [test]}])
        assert validator.is_valid(written) == fits, test
