"""Differences between methods: paired by seed, on the metric's scale, corrected within the stated family."""

from __future__ import annotations

import math

import pytest
from helpers.synthetic_records import asking, make_records
from scipy import stats

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import holm
from rpe2d_bench.analysis.vocabulary import describe
from rpe2d_bench.storage.records import Record

TRAIN, TEST = (32, 32), (48, 48)
KID, ACCURACY, LOSS = describe("kid_glyphnet"), describe("accuracy_glyphjudge"), describe("denoising_loss")
METHODS = {
    "interpolation": {"model": "rope"},
    "yarn": {"model": "rope"},
    "upscaled": {"model": "rope", "upscale": True},
    "rpe2d": {"model": "rpe2d"},
    "ntk": {"model": "rope"},
}
NOISE = (-0.2, -0.1, 0.0, 0.1, 0.2)  # of ln KID over seeds, shared by all methods
OWN = {  # what is left after pairing
    "interpolation": (0.0, 0.0, 0.0, 0.0, 0.0),
    "yarn": (0.02, -0.01, 0.03, -0.02, 0.01),
    "upscaled": (-0.5, -0.1, -0.9, -0.3, -0.2),
    "rpe2d": (-0.9, -1.1, -1.0, -1.2, -0.8),
    "ntk": (0.3, 0.5, 0.4, 0.35, 0.45),
}


def run(seeds: int = 5, **changes: dict[str, object]) -> list[Record]:
    """Records whose KID is exp(NOISE + OWN); `changes`: method -> fields of its records there."""
    made = []
    for record in make_records(seeds=tuple(range(seeds)), tests=[TRAIN, TEST], methods=METHODS):
        record = asking(record, report={"main_metric": "kid", "reference_method": "interpolation"})
        if record.stage == "measure" and record.test_resolution == TEST:
            assert record.method is not None
            assert record.seed is not None
            kid = math.exp(NOISE[record.seed] + OWN[record.method][record.seed])
            metrics = record.metrics | {"kid_glyphnet": kid, "denoising_loss": 0.1 + 0.01 * kid}
            record = record.model_copy(update={"metrics": metrics} | changes.get(record.method, {}))
        made.append(record)
    return made


def gap(results: Results, one: str, other: str, metric=KID):  # type: ignore[no-untyped-def]
    found = results.difference(one, other, TRAIN, TEST, metric)
    assert found is not None
    return found


def test_distances_are_compared_by_ratio_paired_by_seed() -> None:
    found = gap(Results(run()), "rpe2d", "interpolation")
    interval = stats.ttest_1samp(OWN["rpe2d"], 0.0).confidence_interval(0.95)
    assert (found.scale, found.n, found.basis) == ("ratio", 5, "seeds")
    assert (found.mean, found.low, found.high) == pytest.approx((-1.0, *interval))
    assert found.shown.mean == pytest.approx(math.exp(-1.0))
    assert (found.shown.low, found.shown.high) == pytest.approx(tuple(map(math.exp, interval)))
    assert gap(Results(run()), "interpolation", "rpe2d").shown.mean == pytest.approx(math.exp(1.0))


def test_shares_are_compared_by_odds_ratio_and_losses_by_difference() -> None:
    records = run(rpe2d={"num_samples": 250})
    for record in records:
        if record.method == "rpe2d":
            record.metrics["accuracy_glyphjudge"] = 1.0  # of 250 images: a logit of ln 501, not infinity
        elif record.method == "interpolation":
            record.metrics["accuracy_glyphjudge"] = 0.5
    unequal = Results(records).difference("rpe2d", "interpolation", TRAIN, TEST, ACCURACY)
    assert unequal is None  # 250 images against 40: not measured alike
    records = [r.model_copy(update={"num_samples": 250}) if r.stage == "measure" else r for r in records]
    found = gap(Results(records), "rpe2d", "interpolation", ACCURACY)
    assert (found.scale, found.mean) == ("odds ratio", pytest.approx(math.log(501.0)))
    loss = gap(Results(records), "yarn", "interpolation", LOSS)
    assert loss.scale == "difference"
    assert not loss.level  # no margin is stated for it


def test_a_distance_at_or_below_zero_has_no_logarithm() -> None:
    records = run()
    for record in records:
        if (record.method, record.seed, record.test_resolution) == ("ntk", 3, TEST):
            record.metrics["kid_glyphnet"] = -0.001
    found = gap(Results(records), "rpe2d", "interpolation")
    assert found.scale == "difference"  # of the whole size, so that its columns can be read together
    assert found.mean < 0


def test_holm_is_over_the_stated_family_and_other_pairs_are_leads() -> None:
    results = Results(run())
    stated = [("interpolation", "yarn"), ("interpolation", "upscaled"), ("interpolation", "rpe2d"),
              ("interpolation", "ntk"), ("yarn", "upscaled"), ("upscaled", "rpe2d"), ("upscaled", "ntk")]  # fmt: skip
    p = [stats.ttest_rel(OWN[one], OWN[other]).pvalue for one, other in stated]
    for (one, other), adjusted in zip(stated, holm(p), strict=True):
        found = gap(results, one, other)
        assert found.stated
        assert found.separated == (adjusted <= 0.05)
    assert gap(results, "rpe2d", "interpolation").verdict == "significant"
    resizing = gap(results, "rpe2d", "upscaled")
    p_alone = stats.ttest_rel(OWN["rpe2d"], OWN["upscaled"]).pvalue
    assert p_alone < 0.05 < holm(p)[5]  # separated alone, not in its family
    assert resizing.verdict == "not separated"
    apart = gap(results, "ntk", "yarn")
    assert apart.separated
    assert not apart.stated
    assert apart.verdict == "a lead"


def test_level_takes_a_test_of_equivalence_not_a_lack_of_separation() -> None:
    results = Results(run())
    assert gap(results, "yarn", "interpolation").level
    for apart in (gap(results, "upscaled", "interpolation"), gap(Results(run(2)), "yarn", "interpolation")):
        assert not apart.separated
        assert not apart.level


def test_methods_that_are_the_same_images_are_one_comparison() -> None:
    records, twins = run(), {}
    for record in records:
        if record.method == "rpe2d" and record.test_resolution == TEST:
            twins[record.seed] = record
    records = [
        r.model_copy(update={"key": twins[r.seed].key, "metrics": twins[r.seed].metrics})
        if r.method == "ntk" and r.test_resolution == TEST else r
        for r in records
    ]  # fmt: skip
    results = Results(records)
    assert results.coincide("ntk", "rpe2d", TRAIN, TEST)
    assert results.difference("ntk", "rpe2d", TRAIN, TEST, KID) is None
    alone = Results([r for r in run() if r.method != "ntk"])
    p = [gap(each, "upscaled", "interpolation").separated for each in (results, alone)]
    assert p[0] == p[1]
    assert gap(results, "ntk", "interpolation") == gap(results, "rpe2d", "interpolation")


def test_generations_of_records_are_not_mixed() -> None:
    old = run(rpe2d={"metric_versions": {"kid_glyphnet": "0"}})
    assert Results(old).difference("rpe2d", "interpolation", TRAIN, TEST, KID) is None
    assert gap(Results(old), "yarn", "interpolation").n == 5
    other = [
        r.model_copy(update={"sampling": r.sampling.model_copy(update={"reference_key": str(r.method)})})
        if r.sampling else r
        for r in run()
    ]  # fmt: skip
    assert Results(other).difference("rpe2d", "interpolation", TRAIN, TEST, KID) is None


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_fewer_seeds_than_asked_for_are_never_significant(seeds: int) -> None:
    found = gap(Results(run(seeds)), "rpe2d", "interpolation")
    assert found.n == seeds
    assert found.verdict != "significant"
    assert (found.low is None) == (seeds == 1)
