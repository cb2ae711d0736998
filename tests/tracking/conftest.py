"""The generator of synthetic records lies with the report's tests; a store that is in MLflow is made once."""

from pathlib import Path

import pytest
from helpers.synthetic_records import make_records
from helpers.tracked import SMALL, TWO

from rpe2d_bench.storage.records import Record
from rpe2d_bench.tracking import sync


@pytest.fixture(scope="session")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A store whose records are in MLflow already; making the database costs seconds, so tests share one."""
    store = tmp_path_factory.mktemp("store")
    records = make_records(store, seeds=(0, 1), tests=SMALL, methods=TWO)
    sync(store, None, records)
    return store, records
