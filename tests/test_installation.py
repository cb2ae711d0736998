"""What an installation takes: versions by range, tested ones by constraint, and an honest word about its PyTorch."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines), "names and versions only, no addresses"
    return dict(line.split("==") for line in lines)


def requirements(*extras: str) -> dict[str, Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    asked = [Requirement(text) for text in texts]
    more = [extra for one in asked if one.name == PROJECT["name"] for extra in one.extras]  # "rpe2d-bench[docs]"
    theirs = {canonical(one.name): one for one in asked if one.name != PROJECT["name"]}
    return (requirements(*more) if more else {}) | theirs


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tested_versions_cover_every_requirement_and_are_allowed() -> None:
    tested = pins("constraints.txt")
    for name, requirement in requirements("dev", "emoji", "photographs", "latents", "search", "bench").items():
        assert requirement.specifier.contains(tested[name]), f"{requirement}, but constraints.txt has {tested[name]}"


def test_the_lowest_versions_are_the_lower_bounds() -> None:
    lowest = pins("constraints-lowest.txt")
    asked = requirements()
    assert lowest.keys() == asked.keys() | {"sqlalchemy"}  # MLflow's own
    for name, requirement in asked.items():
        (bound,) = (Version(part.version) for part in requirement.specifier if part.operator == ">=")
        assert Version(lowest[name]) == bound, name


def test_pytorch_is_asked_for_by_the_widest_range() -> None:
    torch = requirements()["torch"].specifier
    assert torch.contains("2.9.0")
    assert torch.contains("2.99")
    assert not torch.contains("3.0")


@pytest.mark.parametrize(
    ("installed", "gpu", "printed"),
    [
        (["torch", "nvidia-cudnn-cu13"], False, True),
        (["torch", "nvidia_cudnn_cu12"], True, False),
        (["torch", "numpy"], False, False),
    ],
)
def test_a_build_for_gpus_without_one_is_stated(installed: list[str], gpu: bool, printed: bool) -> None:
    assert (script("torch_build").advice(installed, gpu) is not None) == printed


def test_constraints_fix_versions_and_leave_builds_open(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    lock = script("lock")
    named = {"torch": "2.13.0+cpu", "Markup_Safe": "3.0", "nvidia-cudnn-cu13": "9", "triton": "3", "pip": "1"}
    monkeypatch.setattr(
        lock, "distributions", lambda: [SimpleNamespace(name=name, version=version) for name, version in named.items()]
    )
    assert lock.constraints() == ["markup-safe==3.0", "torch==2.13.0"]
