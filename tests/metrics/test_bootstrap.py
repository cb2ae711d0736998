import numpy as np
import pytest

from rpe2d_bench.analysis import replicates
from rpe2d_bench.metrics import fd, kid


def draw(count: int, seed: int, scale: float = 1.0, width: int = 6) -> np.ndarray:
    mixing = np.random.default_rng(99).standard_normal((width, width)) / np.sqrt(width)
    return np.random.default_rng(seed).standard_normal((count, width)) @ mixing * scale


def ones(count: int) -> np.ndarray:
    return np.ones((1, count))


def test_every_image_once_is_the_distance_itself() -> None:
    x, y = draw(40, 1), draw(50, 2, 1.3)
    assert replicates.kernel_replicates(x, y, ones(40), ones(50))[0] == pytest.approx(kid.mmd2(x, y), rel=1e-9)


def test_influences_are_the_derivative() -> None:
    x, y = draw(40, 1), draw(50, 2, 1.3)
    ours, theirs = replicates.influences(x, y)
    step = 1e-6

    def moved(index: int, side: int) -> float:
        """The distance where one image weighs a little more; weights that sum to n keep the unbiased denominator."""
        fitted = []
        for x_ND, weighted in ((x, side == 0), (y, side == 1)):
            weights = np.full(len(x_ND), 1 - step * weighted)
            weights[index] += step * len(x_ND) * weighted
            covariance = np.cov(x_ND.T, aweights=weights, ddof=0) * len(x_ND) / (len(x_ND) - 1)
            fitted.append(fd.from_moments(np.average(x_ND, axis=0, weights=weights), covariance, len(x_ND)))
        return fd.distance(*fitted)

    base = fd.frechet_distance(x, y)
    # the derivative of the unbiased covariance carries n / (n - 1)
    assert (moved(3, 0) - base) / step == pytest.approx(ours[3], rel=0.05, abs=0.05)
    assert (moved(7, 1) - base) / step == pytest.approx(theirs[7], rel=0.05, abs=0.05)
    assert ours.sum() == pytest.approx(0, abs=1e-9)


def test_replicates_spread_like_fresh_draws() -> None:
    x, y = draw(400, 1), draw(400, 2, 1.3)
    rng = np.random.default_rng(0)
    w, v = replicates.multinomial_weights(500, 400, rng), replicates.multinomial_weights(500, 400, rng)
    fresh = [(draw(400, 10 + 2 * i), draw(400, 11 + 2 * i, 1.3)) for i in range(200)]
    ours, theirs = replicates.influences(x, y)
    for distance, resampled in (
        (fd.frechet_distance, fd.frechet_distance(x, y) + (w @ ours + v @ theirs) / 400),
        (kid.mmd2, replicates.kernel_replicates(x, y, w, v)),
    ):
        values = [distance(a, b) for a, b in fresh]
        assert np.std(resampled) == pytest.approx(np.std(values), rel=0.35)
        assert abs(np.mean(resampled) - distance(x, y)) < 0.3 * np.std(values)


def test_resampling_within_classes_keeps_their_counts_and_the_estimator() -> None:
    classes, theirs = np.arange(40) % 4, np.arange(60) % 4
    x, y = draw(40, 1) + classes[:, None], draw(60, 2) + theirs[:, None]
    weights = replicates.multinomial_weights(50, 40, np.random.default_rng(0), classes)
    for chosen in range(4):
        assert (weights[:, classes == chosen].sum(axis=1) == 10).all()
    value = replicates.kernel_replicates(x, y, ones(40), ones(60), classes, theirs)[0]
    assert value == pytest.approx(kid.mmd2(x, y, classes, theirs), rel=1e-9)
    rng = np.random.default_rng(1)
    w, v = (replicates.multinomial_weights(3000, n, rng, c) for n, c in ((40, classes), (60, theirs)))
    resampled = replicates.kernel_replicates(x, y, w, v, classes, theirs)
    assert abs(resampled.mean() - value) < 4 * resampled.std() / np.sqrt(3000)


def test_influences_on_a_kernel_distance_are_its_derivative_with_and_without_classes() -> None:
    x, y = draw(40, 1), draw(60, 2, 1.3)
    for classes, theirs in ((None, None), (np.arange(40) % 4, np.arange(60) % 4)):
        value, *sides = replicates.kernel_influences(x, y, classes, theirs)
        assert value == pytest.approx(kid.mmd2(x, y, classes, theirs), rel=1e-9)
        for side, index, other in ((0, 3, 7), (1, 5, 9)):  # weight goes from one image to another of its class
            step, weights = 1e-6, [ones(40), ones(60)]
            weights[side][0, index] += step
            weights[side][0, other] -= step
            moved = replicates.kernel_replicates(x, y, *weights, classes, theirs)[0]
            expected = (sides[side][index] - sides[side][other]) / len(sides[side])
            assert (moved - value) / step == pytest.approx(expected, rel=0.06, abs=1e-3)


@pytest.mark.parametrize(("scale", "low", "high"), [(1.3, 0.92, 1.02), (1.0, 0.5, 0.95)])
def test_linear_kernel_replicates_spread_like_exact_ones_unless_the_distance_is_zero(
    scale: float, low: float, high: float
) -> None:
    """Two distributions: at most 8 % too narrow. One: narrower, as `replicates.py` and docs/metrics.md say."""
    x, y = draw(1500, 1), draw(1500, 2, scale)
    w, v = (replicates.multinomial_weights(400, 1500, np.random.default_rng(seed)) for seed in (0, 1))
    exact = replicates.kernel_replicates(x, y, w, v)
    value, ours, theirs = replicates.kernel_influences(x, y)
    linear = value + sum(
        replicates.linear_replicates(side[None], 400, np.random.default_rng(seed))[0]
        for seed, side in enumerate((ours, theirs))
    )
    assert low < linear.std() / exact.std() < high


def test_draws_by_pieces_are_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    influences, classes = draw(60, 3, width=2).T, np.arange(60) % 3
    whole = replicates.linear_replicates(influences, 40, np.random.default_rng(0))
    assert np.allclose(whole, influences @ replicates.multinomial_weights(40, 60, np.random.default_rng(0)).T / 60)
    monkeypatch.setattr(replicates, "WEIGHTS", 600)
    assert np.allclose(whole, replicates.linear_replicates(influences, 40, np.random.default_rng(0)))
    monkeypatch.setattr(
        replicates, "multinomial_weights", lambda b, n, rng, c: pytest.fail("too many") if b > 10 else np.ones((b, n))
    )
    assert replicates.linear_replicates(influences, 45, np.random.default_rng(0), classes).shape == (2, 45)
