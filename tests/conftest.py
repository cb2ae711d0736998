"""What several test files share: a tiny experiment that trains in a second, on a machine whose speed is no matter, and
the pass without wide instructions."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from helpers import type_checks
from helpers.tiny_experiment import TINY

os.environ.setdefault("OMP_NUM_THREADS", "1")
type_checks.install()
hypothesis.settings.register_profile("any machine", deadline=None)  # no test asks for a pace
hypothesis.settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--narrow", action="store_true", help="stop unless the wide instructions are off, as make test-avx2 has it"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before a narrow pass: measure that it is one, and say what was found. xdist's workers inherit the variables."""
    if not session.config.getoption("--narrow") or hasattr(session.config, "workerinput"):
        return
    from helpers.narrow import measured, refusal

    rates = measured()
    if why := refusal(rates):
        pytest.exit(why, returncode=1)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"the wide instructions are off: {rates}")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Path of the tiny experiment, in a folder of its own."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """File of the tiny experiment and a store in which it is done: to be read, or copied and changed."""
    from helpers.planned import planned

    from rpe2d_bench.runner import run
    from rpe2d_bench.storage.store import Store

    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(TINY)
    run(planned(folder / "tiny.yaml"), Store(folder / "runs"), engine="local")
    return folder / "tiny.yaml", folder / "runs"


@pytest.fixture(scope="session", autouse=True)
def _measurements_are_short() -> Iterator[None]:
    """What a machine measures of itself before a run takes a call each, and `precision: auto` is float32 on all."""
    from rpe2d_bench.plan import speed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "compare_blocks", lambda *arguments: speed.Comparison(0.5, 1.0, 1))
        patch.setattr(speed, "compare_convolutions", lambda *arguments: speed.Comparison(0.5, 1.0, 1))
        for name in ("step_seconds", "pass_seconds", "seconds_of_call"):
            patch.setattr(speed, name, functools.partial(getattr(speed, name), limit=0.0))
        patch.setattr(speed, "python_seconds", functools.cache(speed.python_seconds))
        yield
