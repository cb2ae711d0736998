"""`ls` and `show` explain every name that can be written, in eighty columns, as JSON, and to the shell's completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.tiny_experiment import CONFIG

from rpe2d_bench import cli
from rpe2d_bench.cli import listing
from rpe2d_bench.encodings import POSITIONS, Grid
from rpe2d_bench.encodings.describe import spec_of
from rpe2d_bench.encodings.randomness import draws
from rpe2d_bench.encodings.spec import build

ROOT = Path(__file__).parents[2]
Say = Callable[..., str]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """What a command prints, in a terminal of eighty columns, from the root of the repository."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["rpe2d-bench", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output = capsys.readouterr()
        assert ended.value.code in (0, None), output.err
        return output.out

    return call


def test_every_listed_name_has_an_explanation(say: Say, tmp_path: Path) -> None:
    from rpe2d_bench.cli.explain import explain

    for kind, rows in listing.as_dict(None, tmp_path).items():
        for row in rows:
            name = row.get("name", row.get("file", row.get("run", ""))).removesuffix("/PATCH")
            meanings = explain(name, tmp_path)
            assert all(meaning.what for meaning in meanings), (kind, name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("glyphs", ["glyphs (data set)", "data: {name: glyphs}", "train_pictures", "20000"]),
        ("heun", ["heun (sampler)", "second-order", "19 in 10 steps", "sampler: {kind: heun"]),
        ("ddpm", ["are not shifted"]),
        ("taef2", ["TAEF2, a tiny autoencoder", "autoencoder: {kind: taef2, path: PATH}"]),
        ("resize_and_crop", ["crops: {kind: resize_and_crop}", "uncropped_share", "of the images stay complete"]),
        ("kid", ["kid (metric)", "lower", "arXiv 1801.01401"]),
        ("glyphjudge", ["may be evaluate.classifier"]),
        ("DiT-XL", ["1152"]),
        ("res_generalization", ["which encodings keep image quality", "rpe2d-bench plan "]),
        ("rpe2d", ["rpe2d (method of experiments)", "random (positions)", "a training per seed", "gaps"]),
        ("RPE-2D", ["rpe2d (method of experiments)", "random (positions)", "also called RPE-2D"]),
        (
            "upscaled",
            [
                "generated at the train resolution, then resized",
                "training training-free",
                "res_generalization",
                "grid 16x16, train grid 16x16",
            ],
        ),
        (
            "extrapolation",
            ["positions continued past the train grid", "methods: {extrapolation: {model: rope}}"],
        ),
        ("rope_crops", ["model of experiments", "resize_and_crop", "training trained"]),
        ("pi", ["interpolated (frequencies)", "also called PI", "training training-free"]),
        ("NTK-aware", ["ntk (frequencies)"]),
        ("DiT-S/2", ["DiT-S (size of the model)", "384"]),
        ("records", ["records.jsonl", "content address of the stage"]),
        ("none", ["none (crops)", "none (encoding)"]),
        ("yarn", ["yarn (frequencies)", "yarn (logit scale)", "logit scale 1"]),
    ],
)
def test_show_explains(say: Say, name: str, expected: list[str]) -> None:
    output = say("show", name)
    for words in expected:
        assert words in " ".join(output.split()), output


def test_entries_of_shipped_experiments_can_be_asked_for(tmp_path: Path) -> None:
    from rpe2d_bench.cli.explain import explain
    from rpe2d_bench.cli.named_in_files import uses

    names = sorted({use.name for use in uses()})
    assert {"rpe2d", "upscaled", "resized", "extrapolation", "rope_tuned", "ledit"} <= set(names)
    for name in names[::7]:  # every one would take a minute
        assert all(meaning.what for meaning in explain(name, tmp_path)), name


def test_what_needs_training_is_listed(say: Say) -> None:
    rows = {part: {row["name"]: row["training"] for row in json.loads(say("ls", part, "--json"))[part]}
            for part in ("positions", "frequencies", "encodings")}  # fmt: skip
    assert rows["positions"]["random"] == rows["encodings"]["axial_sincos"] == "trained"
    assert rows["positions"]["fractional"] == "training-free"
    assert set(rows["frequencies"].values()) == {"training-free"}
    drawn = {name for name in POSITIONS if draws(build(spec_of(name), width=64, heads=2), Grid(4, 4))}
    assert drawn >= {"random", "random_stride", "anchored", "shift_scale_jitter"}
    assert {rows["positions"][name] for name in drawn} == {"trained"}  # a model that never saw the draws is another
    output = say("ls", "positions")
    assert "training-free: costs its images alone" in output
    assert "trained: costs a training per seed" in output
    assert "min" in json.loads(say("ls", "experiments", "--json"))["experiments"][-1]["costs"]


def test_a_run_of_the_store_is_explained(say: Say, tmp_path: Path) -> None:
    from rpe2d_bench.storage import records

    provenance = records.Provenance(commit="0" * 40, command="rpe2d-bench run a.yaml")
    shared = {"experiment": "a", "run": "a-1", "config": CONFIG, "provenance": provenance}
    records.append(tmp_path, records.Record(stage="train", key="k", model="rope", **shared))
    failed = {"status": "failed", "error": "out of memory"}
    records.append(tmp_path, records.Record(stage="measure", key="l", method="ntk", **failed, **shared))
    output = " ".join(say("show", "a-1", "--store", str(tmp_path)).split())
    assert "1 trained models, 1 cells, 0 floors" in output
    assert "failed 1, such as: out of memory" in output
    assert "rpe2d-bench run a.yaml" in output


def test_show_as_json_has_meanings_and_numbers(say: Say) -> None:
    shown = json.loads(say("show", "interpolated", "--grid", "24x16", "--json"))
    (meaning,) = shown["meanings"]
    assert meaning["kind"] == "frequencies"
    assert {channel["axis"] for channel in shown["realised"]["channels"]} == {"height", "width"}
    glyphs = json.loads(say("show", "glyphs", "--json"))
    assert "realised" not in glyphs
    assert {"name": "jitter", "default": "0.06"}.items() <= {o["name"]: o for o in glyphs["meanings"][0]["options"]}[
        "jitter"
    ].items()


def test_listings_keep_brackets_and_names_whole(say: Say) -> None:
    output = say("ls")
    assert "[sin h," in output  # rich would take it for markup
    for name in ("resize_and_crop", "res_generalization_long", "proportional_sqrt"):
        assert name in output
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("line", "expected"),
    [("rpe2d-bench r", {"run", "report"}), ("rpe2d-bench ls m", {"models", "metrics"}),
     ("rpe2d-bench plan --j", {"--json"})],
)  # fmt: skip
def test_the_shell_completes(line: str, expected: set[str]) -> None:
    asked = {"_RPE2D_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    code = "from rpe2d_bench.cli import app; app(prog_name='rpe2d-bench')"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert set(done.stdout.split()) == expected
