import numpy as np
import pytest
import torch

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import kid
from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision


def features(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((count, width)) + shift).astype(np.float32)


def test_closed_form_by_hand() -> None:
    # d = 1, x = {0, 1}, y = {1, 2}: k(0,1) = 1, k(1,2) = 27, cross: k(0,1) = k(0,2) = 1, k(1,1) = 8, k(1,2) = 27
    x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    assert kid.mmd2(x, y) == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4, rel=1e-12)


def test_equals_torch_fidelity_on_one_full_subset() -> None:
    import_torchvision()
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    one, other = features(120, 32, 1).astype(np.float64), features(120, 32, 2, 0.1).astype(np.float64)
    theirs = kid_features_to_metric(
        torch.from_numpy(one), torch.from_numpy(other), kid_subsets=1, kid_subset_size=120,
        kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1,
        verbose=False, rng_seed=0,
    )[KEY_METRIC_KID_MEAN]  # fmt: skip
    assert kid.kernel_distance(one, other)[0] == pytest.approx(theirs, rel=1e-6)


def test_is_unbiased_on_one_distribution() -> None:
    values = [kid.mmd2(features(20, 6, 2 * i), features(30, 6, 2 * i + 1)) for i in range(400)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert min(values) < 0 < max(values)


def stratified(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """40 samples of 4 well separated classes, exactly 10 of each."""
    classes = np.arange(40) % 4
    return features(40, 3, seed) * 0.3 + classes[:, None], classes


def test_fixed_class_counts_are_unbiased_only_with_the_classes() -> None:
    sets = [stratified(seed) for seed in range(600)]
    pairs = [(*sets[i], *sets[i + 1]) for i in range(0, 600, 2)]
    plain = np.array([kid.mmd2(x, y) for x, _, y, _ in pairs])
    classed = np.array([kid.kernel_distance(x, y, 0, a, b)[0] for x, a, y, b in pairs])
    assert plain.mean() < -10 * plain.std() / np.sqrt(len(plain))
    assert abs(classed.mean()) < 4 * classed.std() / np.sqrt(len(classed))


def test_one_class_is_the_plain_estimator_and_single_images_are_taken_together() -> None:
    one, other = features(30, 4, 1), features(20, 4, 2, 0.2)
    same = np.zeros(30, int), np.zeros(20, int)
    assert kid.mmd2(one, other, *same) == pytest.approx(kid.mmd2(one, other), rel=1e-9)
    lonely = np.minimum(np.arange(30), 1), np.arange(20) % 3  # class 0 has one image
    value, words = kid.kernel_distance(one, other, 0, *lonely)
    assert value == kid.mmd2(one, other, np.zeros(30, int), lonely[1])
    assert words.startswith("unbiased for fixed class counts")
    assert kid.with_pairs(np.array([3, 3, 1, 2, 2, 2])).tolist() == [1, 1, 1, 2, 2, 2]
    assert kid.with_pairs(np.array([3, 4, 5, 2, 2])).tolist() == [3, 3, 3, 2, 2]
    assert kid.with_pairs(np.arange(4)).tolist() == [0] * 4


def test_rare_classes_do_not_bias_a_stratified_distance() -> None:
    """Two images of a class, or one: real against real is zero on average; the plain estimator is below it."""
    classes = np.array([0, *[1] * 2, *[2] * 12, *[3] * 15])
    rng = np.random.default_rng(0)
    aware, plain = [], []
    for _ in range(400):
        sides = [(0.3 * rng.normal(size=(30, 3)) + 0.5 * classes[:, None]).astype(np.float32) for _ in range(2)]
        aware.append(kid.kernel_distance(*sides, 0, classes, classes)[0])
        plain.append(kid.mmd2(*sides))
    error = np.std(aware) / 20
    assert abs(np.mean(aware)) < 3 * error
    assert np.mean(plain) < -10 * error


def test_blocks_and_permutations_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = features(50, 8, 1), features(70, 8, 2, 0.3)
    whole = kid.mmd2(one, other)
    monkeypatch.setattr(kid, "_ROWS", 7)
    assert kid.mmd2(one[::-1], other) == pytest.approx(whole, rel=1e-9)


def test_the_mean_with_all_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = features(10, 3, 1), features(7, 3, 2)
    expected = kid.cubic_kernel(one.astype(np.float64), other.astype(np.float64)).mean(axis=1)
    for entries in (2**23, 21, 1):  # all rows at once, three, and one
        monkeypatch.setattr(kid, "_ENTRIES", entries)
        np.testing.assert_allclose(kid.mean_with_all(one, other), expected, rtol=1e-12)


def test_many_images_use_seeded_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kid, "ALL_SAMPLES", 100)
    monkeypatch.setattr(kid, "SUBSET_SIZE", 60)
    one, other = features(150, 8, 1), features(150, 8, 2, 0.5)
    first, words = kid.kernel_distance(one, other, seed=3)
    assert words == "unbiased, mean of 100 subsets of 60, seed 3"
    assert kid.kernel_distance(one, other, seed=3)[0] == first
    second = kid.kernel_distance(one, other, seed=4)[0]
    assert second != first
    assert second == pytest.approx(kid.mmd2(one, other), rel=0.1)


def test_what_is_not_defined_is_stated() -> None:
    with pytest.raises(UserError, match="at least 2"):
        kid.mmd2(features(1, 4, 0), features(5, 4, 0))
    with pytest.raises(UserError, match="4 and 5 dimensions"):
        kid.mmd2(features(9, 4, 0), features(9, 5, 0))


def test_drawn_classes_against_a_balanced_reference() -> None:
    """Features are one-hot classes: between drawn and balanced images of one distribution KID is zero on average."""
    rng = np.random.default_rng(0)
    features, classes = 3.0 * np.eye(5), np.arange(40) % 5
    drawn = [rng.integers(0, 5, 30) for _ in range(400)]
    values = [kid.kernel_distance(features[each], features[classes], 0, each, classes, True) for each in drawn]
    mean, error = np.mean([v for v, _ in values]), np.std([v for v, _ in values]) / 20
    assert abs(mean) < 3 * error
    assert "drawn classes and the reference's fixed counts" in values[0][1]
    plain = [kid.kernel_distance(features[each], features[classes])[0] for each in drawn]
    assert np.mean(plain) < -10 * error  # the reference's balance taken for independence
    conditional = [kid.kernel_distance(features[each], features[classes], 0, each, classes)[0] for each in drawn]
    assert np.mean(conditional) > 10 * error  # the draw's imbalance taken for the model's
