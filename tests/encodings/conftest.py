"""diffusers, for tests of what is put into its models."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module")
def diffusers() -> Any:
    module = pytest.importorskip("diffusers", reason="diffusers is not installed (extra: bench)")
    from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision

    import_torchvision()
    return module
