"""No conclusion from one number: a method is better when no metric of the stated set says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpe2d_bench.analysis.judgement import Judgement, judge, judged_by
from rpe2d_bench.analysis.quality import undertrained
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import describe
from rpe2d_bench.report.sections.head import head_of
from rpe2d_bench.storage.records import read

ROOT = Path(__file__).resolve().parent.parent.parent
TRAIN = (32, 32)


@pytest.fixture(scope="module")
def published() -> Results:
    return Results(read(ROOT / "reports" / "res_generalization_seeds" / "records.jsonl"))


def test_ahead_in_recall_and_behind_in_structure_is_mixed(published: Results) -> None:
    """At 1.5x, recall alone would have RPE-2D ahead of resizing."""
    found = judge(published, "rpe2d_no_crops", "upscaled", TRAIN, (48, 48))
    assert found is not None
    assert found.claim
    words = {metric.key: word for metric, word in found.words}
    assert words["recall_glyphnet"] == "better"
    assert words["kid_global_glyphnet"] == "worse"
    assert words["kid_glyphnet"] == "not separated"
    assert found.overall == "mixed"
    assert "better in Recall; worse in Global KID; " in found.sentence


def test_the_set_is_what_was_measured_of_the_stated_one(published: Results) -> None:
    keys = [metric.key.removesuffix("_glyphnet") for metric in judged_by(published)]
    assert keys == ["denoising_error", "kid", "precision", "recall", "kid_global", "kid_local"]


def test_a_model_is_undertrained_by_its_validation_loss_where_its_distance_is_not_separated(published: Results) -> None:
    found = undertrained(published)
    assert "validation loss is 0.1261, rope's 0.1145" in found["rpe2d_no_crops", TRAIN]
    assert "validation loss" in found["rpe2d", TRAIN]


def test_an_oracle_of_another_size_is_not_judged_where_it_was_not_trained(published: Results) -> None:
    """Trained at 48 px it has a KID of 16 at 32 px, the train resolution of all others."""
    assert published.estimate("trained_at_48", TRAIN, TRAIN, describe("kid_glyphnet")).mean > 10
    assert not {model for model, _ in undertrained(published)} & {"rope_48", "rope_64"}


def test_the_report_says_what_each_metric_says(published: Results) -> None:
    head = head_of(published)
    against = next(each for each in head.details if each.startswith("rpe2d_no_crops (undertrained) against upscaled"))
    assert "mixed at 48 px (better in Recall; worse in Global KID" in against


@pytest.mark.parametrize(
    ("words", "overall"),
    [
        (("better", "not separated"), "better"),
        (("worse", "level"), "worse"),
        (("better", "worse"), "mixed"),
        (("level", "not separated"), "not separated"),
        (("level", "level"), "level"),
    ],
)
def test_one_word_of_several(words: tuple, overall: str) -> None:  # type: ignore[type-arg]
    assert Judgement(tuple((describe("kid"), word) for word in words), True).overall == overall
