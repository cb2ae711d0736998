"""Annotations hold while tests run: beartype checks types, jaxtyping the shapes of tensors, at every call.

tests/conftest.py installs the hook before the first import. What is declared float may be given an int, as type
checkers have it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[2]
PACKAGES = ("rpe2d_bench/encodings", "rpe2d_bench/models", "rpe2d_bench/diffusion", "baselines")
EXCEPT = {"rpe2d_bench.encodings.spec"}  # pydantic's TypeAdapter[Any] is no hint that beartype reads

checked: Callable[..., Any] = beartype(conf=BeartypeConf(is_pep484_tower=True))


def modules() -> list[str]:
    """Every module whose annotations are held to."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py") if file.name != "__init__.py"]
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    return sorted(names - EXCEPT)


def install() -> None:
    """Check annotations of these modules from their import on."""
    install_import_hook(modules(), "helpers.type_checks.checked")
