import numpy as np
import pytest

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import METRICS, load_observations, observe, score, validate, value_name

NAMES = ["kid", "fd", "precision", "recall", "density", "coverage", "accuracy"]


@pytest.fixture
def judge(net):
    other = type(net)()
    other.name = "judge"
    return other


def test_values_carry_the_net_in_their_name(net, judge, make_images) -> None:
    reference = observe(make_images(40, 0), metrics=NAMES, net=net, judge=judge)
    generated = observe(make_images(40, 1), metrics=NAMES, net=net, judge=judge)
    labels = generated.views["judge"].predictions_N.copy()
    labels[:10] = (labels[:10] + 1) % 4
    result = score(generated, reference, labels, metrics=NAMES)
    assert list(result.values) == [f"{name}_random" for name in NAMES[:-1]] + ["accuracy_judge"]
    assert result.values["accuracy_judge"] == 0.75
    assert all(np.isfinite(value) for value in result.values.values())
    assert result.versions["fd_random"] == "1+random-1"
    assert result.details["counts"] == {"generated": 40, "reference": 40}
    assert result.details["better"]["kid_random"] == "lower"
    assert "all pairs" in result.details["notes"]["kid_random"]


def test_worse_images_score_worse(net, make_images) -> None:
    names = ["kid", "fd", "coverage"]
    reference = observe(make_images(200, 0), metrics=names, net=net)
    good = score(observe(make_images(200, 1), metrics=names, net=net), reference, metrics=names).values
    dark = score(observe(make_images(200, 1) // 3, metrics=names, net=net), reference, metrics=names).values
    for name in names:
        key = f"{name}_random"
        assert (dark[key] < good[key]) == (METRICS[name].better == "higher")


def test_observations_survive_a_file(net, judge, make_images, tmp_path) -> None:
    seen = observe(make_images(20, 0), metrics=NAMES, net=net, judge=judge)
    seen.save(tmp_path / "seen.npz")
    read = load_observations(tmp_path / "seen.npz")
    assert (read.count, read.resolution, read.net, read.judge) == (20, (8, 8), "random", "judge")
    for view, features in seen.views.items():
        assert np.array_equal(features.features_ND, read.views[view].features_ND)
        assert np.array_equal(features.logits_NK, read.views[view].logits_NK)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "seen.npz").read_bytes()[:400])
    with pytest.raises(UserError, match="does not hold observations"):
        load_observations(tmp_path / "torn.npz")


def test_a_few_images_for_many_features_are_noted(net, make_images) -> None:
    sides = [observe(make_images(10, seed), metrics=["fd"], net=net) for seed in (0, 1)]
    assert "10 images for 12 features" in score(*sides, metrics=["fd"]).details["notes"]["fd_random"]


def test_sides_that_do_not_fit_are_stated(net, judge, make_images) -> None:
    one = observe(make_images(9, 0), metrics=["fd"], net=net)
    with pytest.raises(UserError, match="references 16x16"):
        score(one, observe(make_images(9, 0, (16, 16)), metrics=["fd"], net=net), metrics=["fd"])
    with pytest.raises(UserError, match="seen by random and judge"):
        score(one, observe(make_images(9, 0), metrics=["fd"], net=judge), metrics=["fd"])
    with pytest.raises(UserError, match="9 images but 3 labels"):
        score(one, one, np.zeros(3, np.int64), metrics=["fd"])
    uneven = observe(make_images(8, 0), metrics=["fd"], net=net)
    assert score(one, uneven, metrics=["fd"]).details["warnings"] == ["unequal counts: 9 generated, 8 reference images"]


def test_labels_beyond_the_judges_classes_are_stated(net, judge, make_images) -> None:
    seen = observe(make_images(9, 0), metrics=["accuracy"], net=net, judge=judge)
    with pytest.raises(UserError, match="judge knows classes 0 to 3"):
        score(seen, seen, np.full(9, 7), metrics=["accuracy"])
    with pytest.raises(UserError, match="give labels or leave it out"):
        score(seen, seen, metrics=["accuracy"])


@pytest.mark.parametrize(
    ("names", "net", "judge", "message"),
    [
        (["kd"], "glyphnet", None, "unknown metric 'kd' .did you mean 'kid'"),
        (["fd"], "glifnet", None, "did you mean 'glyphnet'"),
        (["fid"], "glyphnet", None, "write 'fd'"),
        (["fd", "fd"], "glyphnet", None, "listed twice"),
        (["accuracy"], "glyphnet", None, "needs a judge"),
        (["accuracy"], "glyphnet", "glyphnet", "another net"),
        ([], "glyphnet", None, "no metrics"),
    ],
)
def test_validate_says_what_to_write(names: list[str], net: str, judge: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(names, net, judge)


def test_names() -> None:
    assert validate(["kid", "accuracy"], "glyphnet", "glyphjudge") == ["kid", "accuracy"]
    assert value_name("fd", "inception", None) == "fid"
    assert value_name("fd", "glyphnet", None) == "fd_glyphnet"
    assert value_name("accuracy", "glyphnet", "glyphjudge") == "accuracy_glyphjudge"
