import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rpe2d_bench.analysis import replicates
from rpe2d_bench.analysis.paired_bootstrap import against_zero, compare
from rpe2d_bench.analysis.statistics import holm
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import kid


def methods(
    effects: dict[str, float], seeds: int, count: int = 120, spread: float = 0.0
) -> dict[str, list[np.ndarray]]:
    """Methods that share their noise: each shifts the same draws by its effect, plus a difference between seeds."""
    result: dict[str, list[np.ndarray]] = {name: [] for name in effects}
    for s in range(seeds):
        noise = np.random.default_rng([7, s]).standard_normal((count, 5))
        for i, (name, effect) in enumerate(effects.items()):
            wobble = spread * np.random.default_rng([8, s, i]).standard_normal()
            result[name].append(noise + effect + wobble)
    return result


REFERENCE = np.random.default_rng(1).standard_normal((120, 5))


@pytest.mark.parametrize("metric", ["fd", "kid"])
def test_a_real_difference_is_found_and_its_sign_is_right(metric: str) -> None:
    found = compare(methods({"good": 0.2, "bad": 0.6}, 2), REFERENCE, metric, resamples=500)
    assert len(found) == 1
    assert found[0].difference < 0
    assert found[0].low <= found[0].difference <= found[0].high < 0
    assert found[0].significant
    assert found[0].covers == "samples only"


def test_equal_methods_are_not_different() -> None:
    same = methods({"a": 0.3}, 2)["a"]
    found = compare({"a": same, "b": same}, REFERENCE, "fd", resamples=200)[0]
    assert (found.difference, found.p, found.significant) == (0.0, 1.0, False)


def test_pairing_sees_what_independent_noise_hides() -> None:
    paired = methods({"a": 0.30, "b": 0.34}, 1)
    unpaired = {"a": paired["a"], "b": [np.random.default_rng(5).standard_normal((120, 5)) + 0.34]}
    width = [
        found.high - found.low for found in (compare(x, REFERENCE, "fd", resamples=500)[0] for x in (paired, unpaired))
    ]
    assert width[0] < width[1] / 3


def test_false_alarms_stay_near_the_level() -> None:
    alarms = 0
    for trial in range(60):
        rng = np.random.default_rng([3, trial])
        sets = {name: [rng.standard_normal((80, 3)) + 0.3] for name in "ab"}
        reference = rng.standard_normal((80, 3))
        alarms += compare(sets, reference, "fd", resamples=200, seed=trial)[0].p <= 0.05
    assert alarms <= stats.binom.ppf(0.999, 60, 0.05)


def test_a_floor_excludes_zero_where_the_images_show_something_else() -> None:
    """Two draws of one law do not; a law that is shifted does, and so do images that are in both sets."""
    rng = np.random.default_rng(11)
    sound, shifted = rng.standard_normal((2, 120, 5)) + np.array([0.0, 0.7])[:, None, None]
    options = {"resamples": 300}
    floor = against_zero("real images", "reference", [sound], REFERENCE, "kid", **options)
    assert floor.low <= 0 <= floor.high
    assert against_zero("real images", "reference", [shifted], REFERENCE, "kid", **options).low > 0
    assert against_zero("real images", "reference", [REFERENCE], REFERENCE, "kid", **options).high < 0


def test_everything_against_one_and_seeded() -> None:
    sets = methods({"a": 0.1, "b": 0.2, "c": 0.3}, 2)
    found = compare(sets, REFERENCE, "kid", against="b", resamples=200, seed=4)
    assert [(x.method, x.against) for x in found] == [("a", "b"), ("c", "b")]
    assert found == compare(sets, REFERENCE, "kid", against="b", resamples=200, seed=4)
    assert found != compare(sets, REFERENCE, "kid", against="b", resamples=200, seed=5)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_procedure(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        order = sorted(range(len(p_values)), key=lambda i: p_values[i])
        rejected = set()
        for rank, index in enumerate(order):
            if p_values[index] > level / (len(order) - rank):
                break
            rejected.add(index)
        borderline = any(abs(a - level) < 1e-9 for a in adjusted)
        assert borderline or rejected == {i for i, a in enumerate(adjusted) if a <= level}


def test_what_cannot_be_compared_is_stated() -> None:
    sets = methods({"a": 0.1, "b": 0.2}, 2)
    with pytest.raises(UserError, match="same seeds and images"):
        compare({"a": sets["a"], "b": sets["b"][:1]}, REFERENCE, "fd")
    with pytest.raises(UserError, match="'z' has no features"):
        compare(sets, REFERENCE, "fd", against="z")


def test_labels_of_both_sides_stratify_and_narrow_the_interval() -> None:
    classes = np.arange(120) % 4
    spread = 3.0 * classes[:, None]
    sets = {name: [x + spread for x in each] for name, each in methods({"a": 0.3, "b": 0.4}, 2).items()}
    plain = compare(sets, REFERENCE + spread, "kid", resamples=400)[0]
    within = compare(
        sets, REFERENCE + spread, "kid", labels=[classes, classes], reference_labels=classes, resamples=400
    )[0]
    assert within.high - within.low < plain.high - plain.low
    one_side = compare(sets, REFERENCE + spread, "kid", labels=[classes, classes], resamples=400)[0]
    assert one_side == plain


def test_many_images_are_compared_by_influences_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = methods({"good": 0.2, "bad": 0.6}, 2)
    exact = compare(sets, REFERENCE, "kid", resamples=500)[0]
    monkeypatch.setattr(kid, "ALL_SAMPLES", 100)
    monkeypatch.setattr(replicates, "kernel_replicates", lambda *_: pytest.fail("an N x N matrix"))
    linear = compare(sets, REFERENCE, "kid", resamples=500)[0]
    assert linear.difference == pytest.approx(exact.difference, rel=1e-9)
    assert (linear.high - linear.low) == pytest.approx(exact.high - exact.low, rel=0.1)
