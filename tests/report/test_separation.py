"""Comparisons by images: with one seed, computed once per cell, shared by methods that coincide, and of the floor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic_records import METHODS, asking, make_records

from rpe2d_bench.analysis.by_images import REFERENCE
from rpe2d_bench.analysis.kept_comparison import FOLDER
from rpe2d_bench.analysis.real_names import REAL
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.significance import separate
from rpe2d_bench.analysis.statistics import Basis, Gap
from rpe2d_bench.analysis.vocabulary import describe
from rpe2d_bench.metrics import Observations
from rpe2d_bench.metrics.nets.features import Features
from rpe2d_bench.report.sections.head import head_of
from rpe2d_bench.report.tables import difference_table
from rpe2d_bench.storage.record_parts import Artifacts
from rpe2d_bench.storage.records import Record

CHOSEN = {name: METHODS[name] for name in ("extrapolation", "yarn", "rpe2d")}
MOVED = {"extrapolation": 0.0, "yarn": 0.0, "rpe2d": 1.5}  # the first two share their images


@pytest.fixture
def observed(tmp_path: Path) -> tuple[Path, list[Record]]:
    """One seed at 48 px whose features are Gaussian, shifted for one method; the reference is not shifted."""
    rng = np.random.default_rng(0)

    def save(name: str, features_ND: np.ndarray) -> str:
        path = tmp_path / "stages" / name / "observations.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        view = Features(features_ND.astype(np.float32), None, "glyphnet", "1", "none")
        Observations({"whole": view}, len(features_ND), (48, 48), "glyphnet", None).save(path)
        return f"stages/{name}/observations.npz"

    reference = save("reference", rng.normal(size=(60, 4)))
    noise = rng.normal(size=(50, 4))
    records = []
    for record in make_records(seeds=(0,), tests=[(48, 48)], methods=CHOSEN):
        if record.stage == "measure":
            moved = MOVED[str(record.method)]
            own = save(f"{moved}-{record.seed}", noise + moved)
            record = record.model_copy(
                update={"artifacts": Artifacts(observations=own, reference_observations=reference)}
            )
        elif record.stage == "floor":
            real = Path(save("floor", rng.normal(size=(50, 4)))).with_name("samples.npz")
            record = record.model_copy(update={"artifacts": Artifacts(samples=str(real)), "train_resolution": (32, 32)})
        records.append(record)
    return tmp_path, records


def test_moved_images_are_separated_and_shared_ones_are_not_compared(observed: tuple[Path, list[Record]]) -> None:
    store, records = observed
    found = separate(records, store, resamples=300)
    floor = [entry for entry in found if entry["method"] == REAL]
    assert [(entry["metric"], entry["against"]) for entry in floor] == [("kid_glyphnet", REFERENCE)]
    found = [entry for entry in found if entry not in floor]
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
    assert len(list((store / FOLDER).iterdir())) == 2  # the methods, the floor
    monkeypatch.setattr("rpe2d_bench.analysis.significance._compare", lambda *_: pytest.fail("computed again"))
    assert separate(records, store, resamples=50) == first


def test_absent_observations_leave_the_cell_out(observed: tuple[Path, list[Record]]) -> None:
    store, records = observed
    (store / "stages" / "1.5-0" / "observations.npz").unlink()
    assert {entry["method"] for entry in separate(records, store, resamples=50)} == {REAL}


def test_with_more_seeds_images_say_nothing_that_seeds_do_not(observed: tuple[Path, list[Record]]) -> None:
    store, records = observed
    more = records + [r.model_copy(update={"seed": 1}) for r in records]
    assert {entry["method"] for entry in separate(more, store, resamples=50)} == {REAL}


def test_a_floor_that_excludes_zero_is_not_ranked(observed: tuple[Path, list[Record]]) -> None:
    store, records = observed
    sound = Results(records, separate(records, store, resamples=200))
    metric = describe("kid_glyphnet")
    known = sound.real.floor_interval((32, 32), (48, 48), metric)
    assert known is not None
    assert known.low is not None
    assert known.high is not None
    assert known.low <= 0 <= known.high
    assert not sound.refusals
    shown = str({r.method: r.artifacts for r in records}["rpe2d"].observations)  # other images than the reference's
    path = str(Path(shown).with_name("samples.npz"))
    bad = [r.model_copy(update={"artifacts": Artifacts(samples=path)}) if r.stage == "floor" else r for r in records]
    results = Results(bad, separate(bad, store, resamples=200))
    assert "which excludes 0: the reference does not show" in results.refusals[(32, 32), (48, 48)]
    assert results.best((32, 32), (48, 48), metric) == []


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
    assert any("nothing about another training" in note for note in table.notes)
    assert any("nothing about another training" in sentence for sentence in head_of(results).details)


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
        entries = [e for e in separate(found, store, resamples=50) if e["method"] != REAL]
        return [e["difference"] for e in entries if e["metric"] == "kid_glyphnet"]

    assert kid(drawn) == kid(records) != kid(labelled)


@pytest.mark.parametrize(
    ("seeds", "basis", "separated", "stated", "verdict"),
    [
        (5, "seeds", True, True, "significant"),
        (5, "seeds", True, False, "a lead"),  # chosen for what it showed
        (4, "seeds", True, True, "a lead"),
        (9, "samples", True, True, "a lead"),
        (9, "seeds", False, True, "not separated"),
    ],
)
def test_significance_takes_five_seeds_and_a_stated_family(
    seeds: int, basis: Basis, separated: bool, stated: bool, verdict: str
) -> None:
    assert Gap(1.0, seeds, 0.5, 1.5, separated, basis, stated=stated).verdict == verdict


@pytest.mark.parametrize(
    ("seeds", "answer", "words"),
    [
        (5, "Above 1× no encoding scores better than yarn at any of 1 size; five seeds.", "worse"),
        (
            3,
            "Above 1× nothing may be concluded: three seeds, and a claim takes five; no method is named best.",
            "trails",
        ),
    ],
)
def test_the_answer_claims_only_what_is_significant(seeds: int, answer: str, words: str) -> None:
    head = head_of(Results(make_records(seeds=tuple(range(seeds)), tests=[(32, 32), (48, 48)], methods=CHOSEN)))
    assert head.answers == (answer,)
    rows = {row.label: [cell.text for cell in row.cells] for row in head.grids[32, 32].rows}
    assert rows["rpe2d"][1] == words
    assert (words == "trails") == head.grids[32, 32].title.endswith(
        "leads and trails say something of these trained models alone"
    )
    assert any(d.startswith("rpe2d against yarn: ") and f"{words} at 48 px" in d for d in head.details)
