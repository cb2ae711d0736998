"""Whether the order of methods survives other seeds, guidances and sizes: against orders that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.synthetic_records import ROPE, asking, make_records
from scipy.stats import kendalltau

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.errors import UserError
from rpe2d_bench.report import render
from rpe2d_bench.report.sections.stability import AXES, Setting, families_of, ranks, stability, tau
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.storage.records import Record

METHODS: dict[str, dict[str, Any]] = {
    "extrapolation": {"model": "rope"},
    "ntk": {"model": "rope", "frequencies": {"kind": "ntk"}},
    "yarn": {"model": "rope", "frequencies": {"kind": "yarn"}},
}
TESTS = [(32, 32), (48, 48)]


def records(values: dict[str, list[float]], methods: dict[str, Any], models: dict[str, Any] | None = None) -> Results:
    """Records whose KID is what `values` says, by method and seed; the same at both resolutions."""
    seeds = tuple(range(len(next(iter(values.values())))))
    found: list[Record] = []
    for record in make_records(seeds=seeds, tests=TESTS, methods=methods):
        if record.method:
            metrics = {"kid_glyphnet": values[record.method][record.seed or 0]}
            record = record.model_copy(update={"metrics": metrics})
        found.append(asking(record, models=models or {"rope": ROPE}))
    return Results(found)


def test_ranks_and_tau() -> None:
    assert ranks({"a": 2.0, "b": 1.0, "c": 2.0, "d": float("nan")}, "lower") == {"a": 2.0, "b": 1.0, "c": 2.0}
    assert ranks({"a": 2.0, "b": 1.0}, "higher") == {"a": 1.0, "b": 2.0}
    one, other = dict(zip("abcd", (1, 2, 3, 4), strict=True)), dict(zip("abcd", (2, 1, 3, 3), strict=True))
    assert tau(one, one) == pytest.approx(1.0)
    assert tau(one, other) == pytest.approx(kendalltau([1, 2, 3, 4], [2, 1, 3, 3]).statistic)
    assert tau(one, {name: -rank for name, rank in one.items()}) == pytest.approx(-1.0)
    assert tau(one, dict.fromkeys("abcd", 1.0)) is None
    assert tau(one, {"a": 1.0}) is None


def test_seeds_that_agree_and_seeds_that_do_not() -> None:
    (found,) = stability(records({"extrapolation": [3, 3], "ntk": [2, 2], "yarn": [1, 1]}, METHODS))
    assert found.agreement.words == [(f"{size} px", "1.00 (lowest 1.00)", "–", "–") for size in (32, 48)]
    assert found.ranks.words == [("extrapolation", "3", "3"), ("ntk", "2", "2"), ("yarn", "1", "1")]
    assert found.words.startswith("6 of 6 pairs of methods (over 2 test resolutions) keep their order by KID-glyphnet")
    (mixed,) = stability(records({"extrapolation": [3, 3], "ntk": [2, 1], "yarn": [1, 2]}, METHODS))
    assert mixed.agreement.words[0][1] == "0.33 (lowest 0.33)"  # one of three pairs is reversed
    assert mixed.ranks.words == [("extrapolation", "3", "3"), ("ntk", "1 to 2", "1 to 2"), ("yarn", "1 to 2", "1 to 2")]
    assert mixed.words.startswith("4 of 6 pairs")
    assert stability(records({"extrapolation": [3], "ntk": [2], "yarn": [1]}, METHODS)) == []  # nothing was varied


def test_guidance_and_size_are_settings_and_not_methods() -> None:
    methods = METHODS | {f"{name}-w4": spec | {"sampler": {"guidance": 4.0}} for name, spec in METHODS.items()}
    methods |= {f"{name}_large": spec | {"model": "rope_large"} for name, spec in METHODS.items()}
    methods["steps"] = METHODS["yarn"] | {"sampler": {"steps": 50}}  # differs in more than guidance
    encoding = {"encoding": {"kind": "axial_rope"}}
    models = {"rope": encoding, "rope_large": encoding | {"model": {"preset": "DiT-S/4"}}}
    order = {"extrapolation": 3.0, "ntk": 2.0, "yarn": 1.0, "steps": 4.0}
    values = {name: [order[name.removesuffix("-w4").removesuffix("_large")]] for name in methods}
    values |= {"extrapolation-w4": [1.0], "ntk-w4": [2.0], "yarn-w4": [3.0]}  # reversed at another guidance
    results = records(values, methods, models)
    families = families_of(results)
    small, wide, large = Setting(1.5, "DiT-Mini/4"), Setting(4.0, "DiT-Mini/4"), Setting(1.5, "DiT-S/4")
    assert families == {name: {small: name, wide: f"{name}-w4", large: f"{name}_large"} for name in METHODS} | {
        "steps": {small: "steps"}
    }
    (found,) = stability(results)
    assert found.agreement.columns == list(AXES)
    assert found.agreement.words[0][1:] == ("–", "-1.00 (lowest -1.00)".replace("-", "−"), "1.00 (lowest 1.00)")
    assert {row[0]: row[1] for row in found.ranks.words} == {
        "extrapolation": "1 to 3", "ntk": "2", "yarn": "1 to 3", "steps": "4",
    }  # fmt: skip
    assert ("32 px", "guidance 4", "1", "2", "3", "–") in found.settings.words
    assert ("32 px", "DiT-S/4", "3", "2", "1", "–") in found.settings.words


def test_the_report_shows_it(tmp_path: Path) -> None:
    results = records({"extrapolation": [3, 3], "ntk": [2, 1], "yarn": [1, 2]}, METHODS)
    page = render(results.records, tmp_path, tmp_path / "report")
    assert '<section id="stability">' in page.read_text()
    text = (page.parent / "report.md").read_text()
    assert "## Ranking stability" in text
    assert "| ntk | 1 to 2 | 1 to 2 |" in text
    assert (page.parent / "tables" / "stability_ranks_train_32.csv").read_text().splitlines()[2] == "ntk,1 to 2,1 to 2"


def test_guidance_is_swept_by_the_file(tiny: Path) -> None:
    plain = load_experiment(tiny)
    swept = load_experiment(tiny, ["evaluate.guidance=[1.0, 1.5, 4]"])
    assert list(swept.methods) == [f"{name}{suffix}" for name in plain.methods for suffix in ("", "-w1", "-w4")]
    assert [swept.sampler_of(f"ntk{suffix}").guidance for suffix in ("", "-w1", "-w4")] == [1.5, 1.0, 4.0]
    assert {name: swept.methods[name] for name in plain.methods} == plain.methods  # so that their cells stay cached
    assert swept.report.reference_method == "ntk"
    assert list(load_experiment(tiny, ["evaluate.guidance=[4]"], ["ntk-w4", "ntk"]).methods) == ["ntk", "ntk-w4"]
    own = load_experiment(tiny, ["evaluate.guidance=[4]", "methods.rpe2d.sampler={guidance: 3.0}"])
    assert "rpe2d-w4" not in own.methods
    with pytest.raises(UserError, match="makes a method 'ntk-w4'; rename this one"):
        load_experiment(tiny, ["evaluate.guidance=[4]", "methods.ntk-w4={model: rope}"])
    with pytest.raises(UserError, match=r"leave out search or evaluate\.guidance"):
        load_experiment(
            tiny,
            ["evaluate.guidance=[4]",
             "search={trials: 2, resolutions: [16], models: {rope: {train.lr: [1.0e-3, 2.0e-3]}}}"],
        )  # fmt: skip
