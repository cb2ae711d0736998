"""Images-level comparisons: computed once per cell, shared by methods that coincide, and shown by the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic_records import METHODS, asking, make_records

from rpe2d_bench.analysis.kept_comparison import FOLDER
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.significance import separate, separate_runs
from rpe2d_bench.analysis.statistics import Gap
from rpe2d_bench.analysis.vocabulary import describe
from rpe2d_bench.metrics import Observations
from rpe2d_bench.metrics.nets.features import Features
from rpe2d_bench.report.sections.head import head_of
from rpe2d_bench.report.tables import difference_table
from rpe2d_bench.report.two_runs.changes import Changes
from rpe2d_bench.storage.record_parts import Artifacts
from rpe2d_bench.storage.records import Record

CHOSEN = {name: METHODS[name] for name in ("extrapolation", "yarn", "rpe2d")}
MOVED = {"extrapolation": 0.0, "yarn": 0.0, "rpe2d": 1.5}  # the first two share their images


@pytest.fixture
def observed(tmp_path: Path) -> tuple[Path, list[Record]]:
    """Two seeds at 48 px whose features are Gaussian, shifted for one method; the reference is not shifted."""
    rng = np.random.default_rng(0)

    def save(name: str, features_ND: np.ndarray) -> str:
        path = tmp_path / "stages" / name / "observations.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        view = Features(features_ND.astype(np.float32), None, "glyphnet", "1", "none")
        Observations({"whole": view}, len(features_ND), (48, 48), "glyphnet", None).save(path)
        return f"stages/{name}/observations.npz"

    reference = save("reference", rng.normal(size=(60, 4)))
    noise = [rng.normal(size=(50, 4)) for _ in range(2)]
    records = []
    for record in make_records(seeds=(0, 1), tests=[(48, 48)], methods=CHOSEN):
        if record.stage == "measure":
            moved = MOVED[str(record.method)]
            own = save(f"{moved}-{record.seed}", noise[record.seed or 0] + moved)
            record = record.model_copy(
                update={"artifacts": Artifacts(observations=own, reference_observations=reference)}
            )
        records.append(record)
    return tmp_path, records


def test_moved_images_are_separated_and_shared_ones_are_not_compared(observed: tuple[Path, list[Record]]) -> None:
    store, records = observed
    found = separate(records, store, resamples=300)
    pairs = {(entry["metric"], frozenset((entry["method"], entry["against"]))) for entry in found}
    expected = {frozenset(("yarn", "rpe2d")), frozenset(("extrapolation", "rpe2d"))}
    assert pairs == {(metric, pair) for metric in ("fd_glyphnet", "kid_glyphnet") for pair in expected}
    for entry in found:
        sign = 1 if entry["method"] == "rpe2d" else -1
        assert sign * entry["difference"] > 0
        assert entry["p_adjusted"] <= 0.05
        assert entry["covers"] == "samples only"


def test_the_second_time_is_read_from_the_store(
    observed: tuple[Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, records = observed
    first = separate(records, store, resamples=50)
    assert len(list((store / FOLDER).iterdir())) == 1
    monkeypatch.setattr("rpe2d_bench.analysis.significance._compare", lambda *_: pytest.fail("computed again"))
    assert separate(records, store, resamples=50) == first


def test_absent_observations_leave_the_cell_out(observed: tuple[Path, list[Record]]) -> None:
    store, records = observed
    (store / "stages" / "1.5-0" / "observations.npz").unlink()
    assert separate(records, store, resamples=50) == []


def test_report_says_what_the_intervals_cover(observed: tuple[Path, list[Record]]) -> None:
    store, records = observed
    results = Results(records, separate(records, store, resamples=300))
    metric = describe("kid_glyphnet")
    gap = results.difference("rpe2d", "yarn", (32, 32), (48, 48), metric)
    back = results.difference("yarn", "rpe2d", (32, 32), (48, 48), metric)
    assert gap is not None
    assert back is not None
    assert gap.separated
    assert gap.basis == "samples"
    assert (gap.mean, gap.low, gap.high) == (-back.mean, -(back.high or 0), -(back.low or 0))
    table = difference_table(results, metric, (32, 32))
    assert table is not None
    assert any("not other trainings" in note for note in table.notes)
    assert any("not other trainings" in sentence for sentence in head_of(results).details)


def test_drawn_labels_are_not_fixed_in_resamples(observed: tuple[Path, list[Record]]) -> None:
    store, records = observed
    labels = np.repeat(np.arange(2), 25)
    rng = np.random.default_rng(1)
    np.save(store / "stages" / "reference" / "labels.npy", np.repeat(np.arange(2), 30))
    labelled = []
    for record in records:
        if record.stage == "measure":
            file = store / f"samples-{record.seed}.npz"
            np.savez(file, labels=rng.permutation(labels))
            record = record.model_copy(update={"artifacts": record.artifacts.model_copy(update={"samples": file.name})})
        labelled.append(record)
    drawn = [asking(record, evaluate={"labels": "iid"}) for record in labelled]

    def kid(found: list[Record]) -> list[float]:
        (store / FOLDER).exists() and [file.unlink() for file in (store / FOLDER).iterdir()]
        return [e["difference"] for e in separate(found, store, resamples=50) if e["metric"] == "kid_glyphnet"]

    assert kid(drawn) == kid(records) != kid(labelled)


@pytest.mark.parametrize(
    ("seeds", "basis", "separated", "verdict"),
    [
        (5, "seeds and samples", True, "significant"),
        (4, "seeds and samples", True, "a lead"),
        (5, "seeds", True, "a lead"),  # not corrected for many comparisons
        (9, "samples", True, "a lead"),
        (9, "seeds and samples", False, "not separated"),
    ],
)
def test_significance_takes_five_seeds_and_a_correction(seeds: int, basis: str, separated: bool, verdict: str) -> None:
    assert Gap(1.0, seeds, 0.5, 1.5, separated, basis).verdict == verdict


@pytest.mark.parametrize(
    ("seeds", "answer", "words"),
    [
        (5, "Above 1× rpe2d scores better than yarn at 1 of 1 size; five seeds.", "better"),
        (
            3,
            "Above 1× nothing may be concluded: three seeds, and a claim takes five; no method is named best.",
            "leads",
        ),
    ],
)
def test_the_answer_claims_only_what_is_significant(seeds: int, answer: str, words: str) -> None:
    records = make_records(seeds=tuple(range(seeds)), tests=[(32, 32), (48, 48)], methods=CHOSEN)
    compared = {"metric": "kid_glyphnet", "train_resolution": [32, 32], "test_resolution": [48, 48],
                "p_adjusted": 0.01, "seeds": seeds, "low": 1e-3, "high": 9e-3, "difference": 5e-3,
                "covers": "samples only" if seeds < 5 else "seeds and samples", "method": "yarn",
                "against": "rpe2d"}  # fmt: skip
    head = head_of(Results(records, [compared]))
    assert head.answers == (answer,)
    rows = {row.label: [cell.text for cell in row.cells] for row in head.grids[32, 32].rows}
    assert rows["rpe2d"][1] == words
    assert any(d.startswith("rpe2d against yarn: ") and f"{words} at 48 px (1.5×)" in d for d in head.details)


def another_run(records: list[Record]) -> list[Record]:
    """In which yarn makes the images of rpe2d, and the others what they made before."""
    moved = {(r.seed): r.artifacts for r in records if r.method == "rpe2d"}
    return [
        r.model_copy(update={"run": "run1"} | ({"artifacts": moved[r.seed]} if r.method == "yarn" else {}))
        for r in records
    ]


def test_two_runs_are_compared_image_by_image(observed: tuple[Path, list[Record]]) -> None:
    store, first = observed
    second = another_run(first)
    found = separate_runs(first, second, (store, store), resamples=300)
    assert {(entry["metric"], entry["method"]) for entry in found} == {
        ("fd_glyphnet", "yarn"),
        ("kid_glyphnet", "yarn"),
    }
    for entry in found:
        assert entry["difference"] > 0  # second minus first, and the second moved away
        assert entry["low"] > 0
        assert entry["p_adjusted"] <= 0.05
    back = separate_runs(second, first, (store, store), resamples=300)
    assert {entry["metric"]: -entry["difference"] for entry in back} == pytest.approx(
        {entry["metric"]: entry["difference"] for entry in found}
    )
    changes = Changes(Results(first), Results(second), tuple(found))
    kid = describe("kid_glyphnet")
    gap, more = changes.gap("yarn", (32, 32), (48, 48), kid)
    assert more
    assert gap is not None
    assert gap.low is not None
    assert gap.low > 0
    assert changes.gap("rpe2d", (32, 32), (48, 48), kid)[1] is False  # the same images
    assert any("not other trainings" in caution for caution in changes.cautions)
    assert "not other trainings" in changes.table(kid, (32, 32)).notes[0]


def test_runs_without_common_ground_are_left_out(observed: tuple[Path, list[Record]]) -> None:
    store, first = observed
    second = another_run(first)
    assert separate_runs(first, [r.model_copy(update={"seed": 7}) for r in second], (store, store), 50) == []
    elsewhere = [
        r.model_copy(update={"sampling": r.sampling and r.sampling.model_copy(update={"reference_key": "other"})})
        for r in second
    ]
    assert separate_runs(first, elsewhere, (store, store), 50) == []
    assert separate_runs(first, second, (store, store / "gone"), 50) == []
