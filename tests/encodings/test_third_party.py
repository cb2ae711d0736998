"""A stranger's package adds a method through the entry point: listed, checked, run and reported, our code untouched."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.installed import bench, install, plug_in

PACKAGE = Path(__file__).parents[1] / "third_party_method"
EXPERIMENT = """
schema_version: 1
name: stranger
seeds: [0]
data: {name: glyphs}
model: {preset: DiT-Mini/4}
train: {path: linear, steps: 2, batch_size: 2, lr: 1.0e-3, ema: 0.9}
models:
  rope: {encoding: {kind: axial_rope, theta: 100}}
methods:
  extrapolation: {model: rope}
  stranger: {model: rope, frequencies: {kind: root_interpolated, power: 0.25}}
resolutions: [{train: 16, test: [24]}]
evaluate:
  sampler: {kind: euler, steps: 1, guidance: 1.0}
  num_samples: 8
  metrics: [fd]
report: {main_metric: fd, reference_method: extrapolation}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as an installer would leave it: the module and its dist-info with the declared entry points."""
    return install(PACKAGE, tmp_path_factory.mktemp("site"))


def test_twenty_lines_are_enough() -> None:
    lines = [line for line in (PACKAGE / "third_party_method.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 20


def test_it_is_listed_and_conforms(installed: Path, tmp_path: Path) -> None:
    listed = bench(installed, tmp_path, "ls", "frequencies", "--json")
    assert "root_interpolated" in {row["name"] for row in json.loads(listed.stdout)["frequencies"]}
    checked = bench(installed, tmp_path, "check", "root_interpolated")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_name_of_ours_cannot_be_taken(installed: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(installed, site, ignore=shutil.ignore_patterns("__pycache__"))
    taken = (PACKAGE / "third_party_method.py").read_text().replace('"root_interpolated"', '"ntk"')
    (site / "third_party_method.py").write_text(taken)
    refused = bench(site, tmp_path, "check", "ntk")
    assert refused.returncode == 2
    assert "frequencies 'ntk' is defined by both baselines and third_party_method" in " ".join(refused.stderr.split())


@pytest.mark.slow
def test_it_runs_from_yaml_into_a_report(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "stranger.yaml").write_text(EXPERIMENT)
    ran = bench(installed, tmp_path, "run", "stranger.yaml", "--engine", "local", "--no-mlflow")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    pages = list((tmp_path / "reports").rglob("*.html"))
    assert pages
    assert any("stranger" in page.read_text() for page in pages)
    table = next((tmp_path / "reports").rglob("*.csv")).read_text()
    assert "stranger" in table


@pytest.fixture
def broken(installed: Path, tmp_path: Path) -> Path:
    """Beside the good package: a module that cannot be imported, and one whose classes cannot be used."""
    site = tmp_path / "site"
    shutil.copytree(installed, site, ignore=shutil.ignore_patterns("__pycache__"))
    sources = {
        "ends_early": "raise RuntimeError('no licence\\nfound')\n",
        "no_fields": (
            "import torch\nfrom dataclasses import dataclass\n"
            "class Plain:\n    def __init__(self, power=1.0): ...\n    def __call__(self, ctx, axis, F): ...\n"
            "class NoEncoding: ...\n"
            "class Raises:\n    def __call__(self, ctx): raise RuntimeError\n"
            "@dataclass\nclass Melting:\n    def __call__(self, ctx, axis, F): ...\n"
            "@dataclass(frozen=True)\nclass OneTensor:\n    def __call__(self, ctx): return torch.zeros(1, 8)\n"
            "@dataclass(frozen=True)\nclass Listed:\n    def __call__(self, ctx): return [1.0]\n"
            "FREQUENCIES = {'plain': Plain, 'melting': Melting}\nENCODINGS = {'no_encoding': NoEncoding}\n"
            "POSITIONS = {'one_tensor': OneTensor}\n"
        ),
    }
    for name, source in sources.items():
        plug_in(site, "rpe2d_bench.methods", name, source)
    return site


@pytest.mark.parametrize("command", ["ls frequencies", "show root_interpolated", "check root_interpolated"])
def test_a_broken_plug_in_is_named_and_disturbs_nobody(broken: Path, tmp_path: Path, command: str) -> None:
    ran = bench(broken, tmp_path, *command.split())
    assert ran.returncode == 0, ran.stderr
    assert "root_interpolated" in ran.stdout
    assert "Traceback" not in ran.stderr
    assert "cannot import 'ends_early': no licence found" in ran.stderr
    assert "frequencies 'plain' of no_fields cannot be used: it is no frozen dataclass with the method" in ran.stderr


def test_a_rule_that_cannot_be_computed_is_one_sentence(broken: Path, tmp_path: Path) -> None:
    shown = bench(broken, tmp_path, "show", "one_tensor")
    assert shown.returncode == 2, shown.stdout + shown.stderr
    assert "error: one_tensor cannot be computed: ValueError: not enough values to unpack" in shown.stderr
    odd = EXPERIMENT.replace("frequencies: {kind: root_interpolated, power: 0.25}", "positions: {kind: one_tensor}")
    (tmp_path / "odd.yaml").write_text(odd)
    refused = bench(broken, tmp_path, "validate", "odd.yaml")
    assert refused.returncode == 2
    assert "odd.yaml:9: method 'stranger' on 4x4 tokens cannot be computed: ValueError" in refused.stderr


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("no_fields:Plain", "its fields are its options and never change, so it must be a frozen dataclass"),
        ("no_fields:Raises", "it must be a frozen dataclass"),
        ("ends_early:Any", "no licence found; write module:Class"),
        ("no_fields:OneTensor", r"a tensor of shape \[1, 8\]; positions return two tensors"),
        ("no_fields:Listed", "it returns a list; positions return two tensors"),
        ("melting", "frequencies 'melting' of no_fields cannot be used: it is no frozen dataclass"),
        ("plain", "frequencies 'plain' of no_fields cannot be used"),
        ("no_encoding", "it is no subclass of PositionalEncoding"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(
    broken: Path, target: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rpe2d_bench.config import entry_points
    from rpe2d_bench.encodings.conformance import suite
    from rpe2d_bench.errors import UserError

    monkeypatch.syspath_prepend(broken)
    entry_points.modules.cache_clear()
    for table in suite.TABLES.values():
        table.__dict__.pop("_merged", None)
    try:
        with pytest.raises(UserError, match=sentence) as refused:
            suite.check(target)
        assert "\n" not in str(refused.value)
    finally:
        entry_points.modules.cache_clear()
        for table in suite.TABLES.values():
            table.__dict__.pop("_merged", None)
