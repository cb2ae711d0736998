import numpy as np
import pytest

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import observe, score
from rpe2d_bench.metrics.memorization import memorization


def draw(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 6))


def test_fresh_draws_are_as_near_to_one_as_to_the_other() -> None:
    found = memorization(draw(800, 0), draw(300, 1), draw(300, 2))
    assert abs(found.nearer_to_training - 0.5) < 4 * found.standard_error
    assert found.near_copies < 0.03


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_copies_are_counted_and_their_sources_found(share: float) -> None:
    training, generated = draw(300, 1), draw(400, 0)
    copied = int(400 * share)
    source = np.random.default_rng(3).integers(0, 300, copied)
    generated[:copied] = training[source] + 0.01
    found = memorization(generated, training, draw(300, 2))
    assert found.near_copies == pytest.approx(share, abs=0.03)
    assert found.nearer_to_training == pytest.approx(0.5 + share / 2, abs=0.08)
    assert np.array_equal(found.sources[:copied], source)


def test_the_larger_side_has_no_advantage() -> None:
    found = memorization(draw(500, 0), draw(3000, 1), draw(200, 2))
    assert found.count == 200
    assert abs(found.nearer_to_training - 0.5) < 4 * found.standard_error


def test_as_a_metric_it_asks_for_training_images(net, make_images) -> None:
    generated, real, training = (observe(make_images(60, s), metrics=["fd"], net=net) for s in (0, 1, 2))
    values = score(training, real, metrics=["memorization"], training=training).values
    assert values["memorization_random"] == 1.0
    assert score(generated, real, metrics=["memorization"], training=training).values["memorization_random"] < 0.8
    with pytest.raises(UserError, match="needs training images"):
        score(generated, real, metrics=["memorization"])
    with pytest.raises(UserError, match="one set is empty"):
        memorization(draw(0, 0), draw(3, 1), draw(3, 2))
