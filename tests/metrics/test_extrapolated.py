import numpy as np
import pytest

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.extrapolated import frechet_at_infinity
from rpe2d_bench.metrics.fd import frechet_distance


def draw(count: int, seed: int, shift: float) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 16)) + shift


@pytest.mark.parametrize(("shift", "true"), [(0.0, 0.0), (0.2, 16 * 0.04)])
def test_removes_most_of_the_bias(shift: float, true: float) -> None:
    plain = [frechet_distance(draw(300, 2 * i, shift), draw(300, 2 * i + 1, 0)) - true for i in range(6)]
    extended = [frechet_at_infinity(draw(300, 2 * i, shift), draw(300, 2 * i + 1, 0))[0] - true for i in range(6)]
    assert np.mean(plain) > 0.2
    assert abs(np.mean(extended)) < 0.25 * np.mean(plain)


def test_is_seeded_and_says_what_it_did() -> None:
    one, other = draw(100, 0, 0.1), draw(100, 1, 0)
    assert frechet_at_infinity(one, other, 3) == frechet_at_infinity(one, other, 3)
    assert frechet_at_infinity(one, other, 3)[1] == "extrapolated from 25..100 images, seed 3"
    with pytest.raises(UserError, match="at least 40"):
        frechet_at_infinity(one[:39], other)
