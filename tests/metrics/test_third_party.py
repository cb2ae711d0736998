"""A metric of another package: from its entry point to records and report, without a line of this package edited."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.installed import plug_in
from helpers.planned import planned

from rpe2d_bench import report
from rpe2d_bench.analysis.vocabulary import describe
from rpe2d_bench.config import entry_points
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import METRICS, split_value_name, value_name
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.storage.store import Store

MEAN_SHIFT = """
import numpy as np
from rpe2d_bench.metrics import Metric

def shift(inputs):
    apart = inputs.generated.features_ND.mean(axis=0) - inputs.reference.features_ND.mean(axis=0)
    return float(np.linalg.norm(apart)), f"of {len(inputs.generated)} images"

METRICS = {
    "mean_shift": Metric(
        name="mean_shift", label="Mean shift", better="lower", explanation="how far the mean image feature moved",
        citation="a test", view="whole", compute=shift, factor=100.0,
    )
}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Puts a module on the path as an installer would, under the group of metrics."""

    def forget() -> None:
        entry_points.modules.cache_clear()
        METRICS.__dict__.pop("_merged", None)

    def put(name: str, source: str) -> None:
        plug_in(tmp_path / "site", "rpe2d_bench.metrics", name, source)
        monkeypatch.syspath_prepend(tmp_path / "site")
        forget()

    yield put
    monkeypatch.undo()
    forget()


def test_a_metric_of_another_package_stands_in_records_and_report(
    install: Callable[[str, str], None], tiny: Path, tmp_path: Path
) -> None:
    install("plugged_mean_shift", MEAN_SHIFT)
    overrides = ("evaluate.metrics=[kid, mean_shift]", "report.main_metric=mean_shift", "resolutions.0.test=[16]")
    plan = planned(tiny, *overrides)
    found = run(plan, Store(tmp_path / "runs"), engine="local")
    assert {record.error for record in found} == {None}
    measured = [record for record in found if record.stage in ("measure", "floor")]
    assert all(record.metrics["mean_shift_glyphnet"] > 0 for record in measured)
    assert all(record.metric_versions["mean_shift_glyphnet"].startswith("1+glyphnet-") for record in measured)
    report.render(found, tmp_path / "runs", tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text()
    assert "Mean shift-glyphnet (%) ↓" in page
    assert "how far the mean image feature moved" in (tmp_path / "report" / "index.html").read_text()


def test_a_broken_one_is_named_and_left_out(
    install: Callable[[str, str], None], tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install("plugged_broken", "from no_such_package import metric")
    assert "kid" in METRICS
    assert "'plugged_broken'" in caplog.text
    assert "no_such_package" in caplog.text
    load_experiment(tiny)


def test_one_that_computes_nothing_is_named(install: Callable[[str, str], None], tiny: Path) -> None:
    install("plugged_idle", MEAN_SHIFT.replace("compute=shift", "compute=None"))
    with pytest.raises(UserError, match=r"'mean_shift' of plugged_idle cannot be used: .* computes nothing"):
        load_experiment(tiny, ("evaluate.metrics=[kid, mean_shift]",))


def test_what_is_no_longer_installed_is_shown_by_its_name() -> None:
    known = describe("mean_shift_glyphnet")
    assert (known.label, known.better) == ("mean_shift_glyphnet", None)


def test_every_stored_name_comes_apart_as_it_was_put_together() -> None:
    for metric in METRICS.values():
        if metric.means is None:
            for net in ("glyphnet", "efficientnet-lite0"):
                name = value_name(metric.name, net, "glyphjudge")
                judge = "glyphjudge" if metric.view == "judge" else net
                assert split_value_name(name) == (metric, judge if metric.has_net else "")
    assert split_value_name(value_name("fd", "inception", None)) == (METRICS["fid"], "")
    assert split_value_name("kids_glyphnet") == (None, "")


def test_what_metrics_mean_is_read_without_torch() -> None:
    code = "import sys, json; from rpe2d_bench.analysis.vocabulary import describe as d; "
    code += "print(json.dumps([d('kid_x').label, 'torch' in sys.modules]))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == ["KID-x", False]
