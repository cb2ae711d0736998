"""The wheel away from the repository: experiments by name, encodings beside torch alone, and who stands in its way."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ELSEWHERE = """
import sys
site, *blocked = sys.argv[1:]
class Blocked:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, site)
"""
# what the wheel asks for beside torch, and what torch itself brings is left
ASKED_FOR = (
    "pydantic", "pydantic_core", "annotated_types", "jaxtyping", "yaml", "rich", "typer", "pandas", "scipy", "ray",
    "mlflow", "matplotlib", "safetensors", "PIL", "psutil", "cleanfid", "torchvision", "threadpoolctl",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `pip install --no-deps --target` would leave there."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", build, folder], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    with zipfile.ZipFile(folder / built.stdout.split()[-1]) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def bench(site: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as somebody has it who installed the wheel; nothing of the repository is on the path."""
    path = os.pathsep.join((str(where), str(site)))  # the working directory first, as with `python -m`
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from rpe2d_bench.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow  # two processes compute
def test_experiments_come_along_and_run_by_name(wheel: Path, tmp_path: Path) -> None:
    listed = bench(wheel, tmp_path, "ls", "experiments")
    assert "res_generalization_seeds" in listed.stdout, listed.stderr
    valid = bench(wheel, tmp_path, "validate", "quick")
    assert valid.returncode == 0, valid.stderr
    assert str(wheel) in valid.stdout
    assert bench(wheel, tmp_path, "new", "mine.yaml", "--from", "quick").returncode == 0
    arguments = ("--set", "evaluate.num_samples=4", "--set", "evaluate.metrics=[accuracy]", "--only", "interpolation",
                 "--set", "report.main_metric=accuracy", "--engine", "local", "--no-mlflow")  # fmt: skip
    ran = bench(wheel, tmp_path, "run", "mine.yaml", *arguments)  # on the weights that came with the wheel
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "reports/mine/index.html").is_file()


def test_encodings_import_beside_torch_alone(wheel: Path, tmp_path: Path) -> None:
    code = ELSEWHERE + (
        "import torch, baselines, rpe2d_bench.encodings as e\n"
        "rope = e.AxialRoPE(64, frequencies=baselines.YaRN(), logit_scale=baselines.YaRNLogitScale())\n"
        "print(tuple(rope(e.Context(e.Grid(12, 12), e.Grid(8, 8))).angles_BHNF.shape), len(e.FREQUENCIES))\n"
        "try:\n    e.build({'kind': 'axial_rope', 'theta': 100}, width=64, heads=2)\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-c", code, str(wheel), *ASKED_FOR]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    shape, sentence = ran.stdout.splitlines()
    assert shape.startswith("(1, 1, 144, 32)")
    assert int(shape.split()[-1]) > 10
    assert sentence.startswith("UserError encoding.theta: reading options needs pydantic")


@pytest.mark.parametrize("file", ["baselines/__init__.py", "baselines.py"])
def test_a_package_that_hides_the_baselines_is_found_out(wheel: Path, tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("FREQUENCIES = {}\n")
    refused = bench(wheel, tmp_path, "ls", "frequencies")
    assert refused.returncode == 2, refused.stdout
    assert refused.stderr.startswith("error: the package 'baselines' of rpe2d-bench is hidden by ")
    assert str(tmp_path / file) in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_folder_of_that_name_without_a_package_hides_nothing(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "baselines").mkdir()
    listed = bench(wheel, tmp_path, "ls", "frequencies")
    assert listed.returncode == 0, listed.stderr
    assert "yarn_turns" in listed.stdout
