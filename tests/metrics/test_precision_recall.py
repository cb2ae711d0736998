import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import precision_recall as pr

LINE = np.arange(10.0)[:, None]  # ten points one apart


def naive(generated: np.ndarray, real: np.ndarray, k: int) -> tuple[float, float, float]:
    """Precision, density and coverage with plain loops."""
    reach = []
    for i, point in enumerate(real):
        others = sorted(float(np.linalg.norm(point - other)) for j, other in enumerate(real) if j != i)
        reach.append(others[k - 1])
    hits = np.array([[np.linalg.norm(g - r) <= s + 1e-12 for r, s in zip(real, reach, strict=True)] for g in generated])
    return hits.any(axis=1).mean(), hits.sum(axis=1).mean() / k, hits.any(axis=0).mean()


@settings(max_examples=25)
@given(n=st.integers(6, 25), m=st.integers(6, 25), d=st.integers(1, 5), k=st.integers(1, 5), seed=st.integers(0, 999))
def test_equals_plain_loops(n: int, m: int, d: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    generated, real = rng.standard_normal((n, d)), rng.standard_normal((m, d)) * 1.5
    precision, density, coverage = naive(generated, real, k)
    assert pr.precision(generated, real, k) == pytest.approx(precision)
    assert pr.recall(generated, real, k) == pytest.approx(naive(real, generated, k)[0])
    assert pr.density(generated, real, k) == pytest.approx(density)
    assert pr.coverage(generated, real, k) == pytest.approx(coverage)


def test_radii_on_a_line() -> None:
    assert np.sqrt(pr.radii(LINE, 2)).tolist() == pytest.approx([2, 1, 1, 1, 1, 1, 1, 1, 1, 2])


def test_far_points_score_nothing_and_copies_everything() -> None:
    far = LINE + 1000
    assert (pr.precision(far, LINE), pr.recall(far, LINE), pr.density(far, LINE), pr.coverage(far, LINE)) == (0,) * 4
    assert (pr.precision(LINE, LINE), pr.recall(LINE, LINE), pr.coverage(LINE, LINE)) == (1, 1, 1)


def test_a_dropped_mode_costs_recall_and_coverage_not_precision() -> None:
    rng = np.random.default_rng(0)
    modes = rng.standard_normal((400, 4)) + 20 * (np.arange(400) % 2)[:, None]
    fresh = rng.standard_normal((200, 4))
    assert pr.precision(fresh, modes) > 0.9
    assert 0.4 < pr.recall(fresh, modes) < 0.6
    assert pr.coverage(fresh, modes) < 0.55


def test_blocks_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    generated, real = rng.standard_normal((50, 3)), rng.standard_normal((60, 3))
    whole = [f(generated, real) for f in (pr.precision, pr.recall, pr.density, pr.coverage)]
    monkeypatch.setattr(pr, "_ROWS", 7)
    monkeypatch.setattr(pr, "_COLUMNS", 11)
    assert [f(generated, real) for f in (pr.precision, pr.recall, pr.density, pr.coverage)] == pytest.approx(whole)


def test_too_few_images_are_stated() -> None:
    with pytest.raises(UserError, match="3 images have no 3 nearest neighbours; at least 4"):
        pr.precision(LINE, LINE[:3])
