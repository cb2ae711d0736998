import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import fd
from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision


def features(count: int, width: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((width, width)) / np.sqrt(width)
    return (rng.standard_normal((count, width)) @ mixing * scale + shift).astype(np.float32)


def test_closed_form_of_commuting_gaussians() -> None:
    # for S1 = diag(a), S2 = diag(b): FD = |m1 - m2|^2 + sum (sqrt a - sqrt b)^2
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    means = np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 1.0])
    one = fd.from_moments(means[0], np.diag(a), 10)
    other = fd.from_moments(means[1], np.diag(b), 10)
    assert fd.distance(one, other) == pytest.approx(5.0 + 1.0 + 0.0 + 4.0, rel=1e-12)


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")
@pytest.mark.parametrize(("n", "m", "d"), [(300, 400, 16), (50, 60, 64), (40, 300, 64), (64, 64, 64), (65, 65, 64)])
def test_equals_cleanfid_and_torch_fidelity(n: int, m: int, d: int) -> None:
    import_torchvision()
    from cleanfid.fid import frechet_distance as cleanfid_distance
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    one, other = features(n, d, 1).astype(np.float64), features(m, d, 2, 1.3, 0.5).astype(np.float64)
    ours = fd.frechet_distance(one, other)
    theirs = cleanfid_distance(one.mean(0), np.cov(one.T), other.mean(0), np.cov(other.T))
    assert ours == pytest.approx(theirs, rel=1e-6)
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (one, other)]
    assert ours == pytest.approx(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID], rel=1e-6)


def test_few_and_many_samples_meet() -> None:
    """The factor from the features and the one from the covariance give the same distance on both sides of n = d."""
    one, other = features(33, 32, 1), features(33, 32, 2)
    few = fd.frechet_distance(one[:32], other)
    covariances = [np.cov(x.T.astype(np.float64)) for x in (one[:32], other)]
    means = [x.mean(0, dtype=np.float64) for x in (one[:32], other)]
    many = fd.distance(*(fd.from_moments(m, c, 9) for m, c in zip(means, covariances, strict=True)))
    assert few == pytest.approx(many, rel=1e-7)


@pytest.mark.parametrize(
    "decay", [0.0, 1.0, 3.0]
)  # the last one is too steep for eigenvalues: singular values take over
@pytest.mark.parametrize("shape", [(30, 30), (20, 35), (35, 20)])
def test_nuclear_norm_of_large_matrices(shape: tuple[int, int], decay: float) -> None:
    rng = np.random.default_rng(0)
    least = min(shape)
    values = 10.0 ** (-decay * np.arange(least))
    left, right = (np.linalg.qr(rng.standard_normal((side, least)))[0] for side in shape)
    matrix = (left * values) @ right.T
    assert fd.nuclear_norm(matrix, large=2) == pytest.approx(values.sum(), rel=1e-9)
    assert fd.nuclear_norm(matrix) == pytest.approx(values.sum(), rel=1e-9)


def test_dead_features_do_not_matter() -> None:
    one, other = features(200, 12, 1), features(200, 12, 2)
    dead = np.zeros((200, 20), np.float32)
    wider = fd.frechet_distance(np.hstack([one, dead]), np.hstack([other, dead]))
    assert wider == pytest.approx(fd.frechet_distance(one, other), rel=1e-9)


@settings(max_examples=30)
@given(n=st.integers(2, 30), m=st.integers(2, 30), d=st.integers(1, 12), seed=st.integers(0, 1000))
def test_is_symmetric_not_negative_and_rotation_invariant(n: int, m: int, d: int, seed: int) -> None:
    one, other = features(n, d, seed).astype(np.float64), features(m, d, seed + 1, 2.0).astype(np.float64)
    value = fd.frechet_distance(one, other)
    size = np.square(one).sum() + np.square(other).sum()
    assert value >= 0
    assert value == pytest.approx(fd.frechet_distance(other, one), abs=1e-7 * size)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    assert value == pytest.approx(fd.frechet_distance(one @ rotation, other @ rotation), abs=1e-6 * size)


def test_equal_sets_are_at_zero_and_a_shift_costs_its_square() -> None:
    one = features(500, 20, 3).astype(np.float64)
    assert fd.frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)
    assert fd.frechet_distance(one, one + 0.5) == pytest.approx(20 * 0.25, rel=1e-9)


def test_what_is_not_defined_is_stated() -> None:
    with pytest.raises(UserError, match="at least 2"):
        fd.fit(features(1, 4, 0))
    with pytest.raises(UserError, match="4 and 5 dimensions"):
        fd.frechet_distance(features(9, 4, 0), features(9, 5, 0))
