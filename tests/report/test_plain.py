"""Tables of words: what changed, what was checked, how images were prepared; and their files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from helpers.synthetic_records import METHODS, asking, make_records

from rpe2d_bench.analysis.quality import checks, findings
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.report.formats import csv_text, latex
from rpe2d_bench.report.sections import provenance
from rpe2d_bench.report.sections.cost import sampling_cost, training_cost
from rpe2d_bench.report.table import Table, plain
from rpe2d_bench.report.two_runs.settings import changed, words
from rpe2d_bench.storage.records import Record

SIZES = [(32, 32), (48, 48)]
TWO = {name: METHODS[name] for name in ("yarn", "rpe2d")}


def records(**more: Any) -> list[Record]:
    return make_records(seeds=(0, 1), tests=SIZES, methods=TWO, **more)


def with_metric(found: list[Record], name: str, value: float, method: str, count: int = 400) -> list[Record]:
    return [
        r.model_copy(update={"metrics": r.metrics | {name: value}, "num_samples": count}) if r.method == method else r
        for r in found
    ]


def test_memorization_is_a_finding_where_it_is_more_than_chance() -> None:
    assert dict(checks(Results(records())))["memorization"].startswith("not measured")
    honest = with_metric(records(), "memorization_glyphnet", 0.55, "yarn")  # 50 +- 2.5 % without memorization
    assert [f for f in findings(Results(honest)) if f.kind == "memorization"] == []
    copied = with_metric(honest, "memorization_glyphnet", 0.8, "rpe2d")
    found = [f for f in findings(Results(copied)) if f.kind == "memorization"]
    assert len(found) == len(SIZES) * 2
    assert all(f.what.startswith("rpe2d") and f.why.startswith("80 %") for f in found)
    assert dict(checks(Results(copied)))["memorization"].startswith("55 to 80 %")


def test_checks_count_what_is_there() -> None:
    whole = dict(checks(Results(records())))
    assert whole["cells"] == "4 of 4 complete, 2 seeds asked for"
    assert whole["floors"] == "2 of 2 test resolutions"
    partial = [r for r in records() if not (r.method == "yarn" and r.seed == 1) and r.stage != "floor"]
    output = dict(checks(Results(partial)))
    assert output["cells"].startswith("2 of 4 complete")
    assert output["floors"].startswith("0 of 2")


def test_only_what_changes_a_number_is_a_change() -> None:
    first = records()
    second = [asking(r, **_edited(r.config.experiment)) for r in records()]
    found = {change.what: (change.first, change.second) for change in changed(Results(first), Results(second))}
    assert found == {
        "methods.upscaled": ("–", "model: rope, upscale: True"),
        "train.steps": ("100", "200"),
        "resolutions": ("32 px → 32, 48 px", "32 px → 32, 48, 32×64 px"),
    }
    assert changed(Results(first), Results(records())) == []


def _edited(experiment: Experiment) -> dict[str, Any]:
    return {
        "name": "other",
        "train": experiment.train.model_dump() | {"steps": 200},
        "resources": {"trials_in_parallel": 8},
        "methods": {**experiment.methods, "upscaled": {"model": "rope", "upscale": True}},
        "resolutions": [{"train": 32, "test": [[32, 32], [48, 48], [32, 64]]}],
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), ({}, "–"), (False, "–"), (0, "0"), (True, "True"), ([1, [2, 3]], "1, 2, 3"),
     ({"kind": "random", "per": None, "max_grid": [8, 8]}, "kind: random, max_grid: 8, 8"),
     ({"model": "rope", "frequencies": {"kind": "ntk"}}, "model: rope, frequencies: {kind: ntk}")],
)  # fmt: skip
def test_settings_in_words(value: Any, expected: str) -> None:
    assert words(value) == expected


def test_preparation_is_a_line_per_view_and_treatment() -> None:
    output = "clean-fid clean (PIL bicubic, antialiased, float)"
    made = [
        r.model_copy(update={"measurement": r.measurement.model_copy(update={"resize": {
            "whole": f"{r.test_resolution[0]}x{r.test_resolution[1]} -> 64x64, {output}",
            "local@0,0": f"32x32 -> 64x64, {output}", "local@0,16": f"32x32 -> 64x64, {output}",
            "repetition": "luma, long side at most 96"}})})
        if r.measurement and r.test_resolution else r for r in records()
    ]  # fmt: skip
    shown = provenance.build(Results(made), Path()).walk()
    tables = {block.name: block for block in shown if isinstance(block, Table)}
    assert tables["preparation"].words == [
        ("whole", "32x32 → 64x64, 48x48 → 64x64", output),
        ("local", "32x32 → 64x64", output),
        ("repetition", "all", "luma, long side at most 96"),
    ]
    assert tables["metric_versions"].words == [("kid_glyphnet", "1")]


def test_costs_are_what_the_records_say() -> None:
    training, sampling = training_cost(Results(records())), sampling_cost(Results(records()))
    assert training is not None
    assert sampling is not None
    assert {row[0] for row in training.words} == {"rope", "rope_crops", "rpe2d"}
    assert all("15 min" in row for row in training.words)
    assert sampling.words[0] == ("yarn", "500", "1125")  # 20 s for 40 images at 32 px


def test_files_of_a_plain_table() -> None:
    table = plain("odd_names", "50 % of_them", ("method", "×2"), [("=cmd()", "1 & 2"), ("a_b", "−3")], numbers=True)
    assert list(csv.reader(io.StringIO(csv_text(table)))) == [["method", "×2"], ["'=cmd()", "1 & 2"], ["a_b", "−3"]]
    text = latex(table)
    assert r"\label{tab:odd-names}" in text
    assert r"50 \% of\_them" in text
    assert r"=cmd() & 1 \& 2 \\" in text
    assert r"a\_b & $-$3 \\" in text
    assert text.index(r"\toprule") < text.index(r"$\times$2") < text.index(r"\midrule") < text.index(r"\bottomrule")
