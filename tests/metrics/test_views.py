import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import METRICS, concatenate, load_net, observe, score, views
from rpe2d_bench.metrics.metric import INSIDE
from rpe2d_bench.metrics.nets.features import extract
from rpe2d_bench.metrics.views import places

SIDE = st.integers(1, 200)


@given(size=st.tuples(SIDE, SIDE), train=st.tuples(SIDE, SIDE))
def test_crops_cover_every_pixel_and_stay_inside(size: tuple[int, int], train: tuple[int, int]) -> None:
    crop = (min(size[0], train[0]), min(size[1], train[1]))
    covered = np.zeros(size, bool)
    for top, left in places(size, crop):
        assert 0 <= top <= size[0] - crop[0]
        assert 0 <= left <= size[1] - crop[1]
        covered[top : top + crop[0], left : left + crop[1]] = True
    assert covered.all()
    assert len(places(size, crop)) == -(-size[0] // crop[0]) * -(-size[1] // crop[1])


def test_places_at_the_sizes_of_the_main_experiment() -> None:
    assert places((32, 32), (32, 32)) == [(0, 0)]
    assert places((48, 48), (32, 32)) == [(0, 0), (0, 16), (16, 0), (16, 16)]
    assert places((32, 64), (32, 32)) == [(0, 0), (0, 32)]
    assert places((16, 16), (16, 16)) == [(0, 0)]


def test_local_distance_is_the_mean_over_places_of_matched_crops(net, make_images) -> None:
    one, other = make_images(40, 0, (8, 16)), make_images(40, 1, (8, 16))
    other[:, :, :, 8:] //= 2  # the right half is wrong
    names = ["fd_local", "fd"]
    sides = [observe(x, metrics=names, net=net, train_resolution=(8, 8)) for x in (other, one)]
    result = score(*sides, metrics=names)
    halves = [
        score(
            *(observe(np.ascontiguousarray(x[..., part]), metrics=["fd"], net=net) for x in (other, one)),
            metrics=["fd"],
        ).values["fd_random"]
        for part in (slice(0, 8), slice(8, 16))
    ]
    assert halves[1] > 2 * halves[0]
    assert result.values["fd_local_random"] == pytest.approx(np.mean(halves), rel=1e-6)
    assert "mean over 2 places" in result.details["notes"]["fd_local_random"]


def test_views_that_coincide_are_computed_once(net, make_images) -> None:
    calls = []
    forward = net.features_and_logits
    net.features_and_logits = lambda x: calls.append(len(x)) or forward(x)
    images = make_images(10, 0, (16, 16))
    names = ["fd_local", "fd_global", "fd"]
    together = observe(images, metrics=names, net=net, train_resolution=(16, 16))
    assert calls == [10]
    for name in names:
        alone = observe(images, metrics=[name], net=net, train_resolution=(16, 16))
        for view, features in alone.views.items():
            assert np.array_equal(features.features_ND, together.views[view].features_ND)
            assert (features.resize == together.views[view].resize) or view == "global"


def test_global_goes_through_the_train_resolution(net, make_images) -> None:
    images = make_images(6, 0, (32, 32))
    seen = observe(images, metrics=["fd_global"], net=net, train_resolution=(4, 4)).views["global"]
    assert np.array_equal(seen.features_ND, extract(images, net, via=(4, 4)).features_ND)
    assert "32x32 -> 4x4" in seen.resize
    assert "4x4 -> 8x8" in seen.resize
    assert not np.allclose(seen.features_ND, extract(images, net).features_ND)


def test_fine_noise_is_seen_locally_and_not_globally(net, make_images) -> None:
    rng = np.random.default_rng(0)
    smooth = [np.repeat(np.repeat(make_images(200, seed, (8, 8)), 4, 2), 4, 3) for seed in (0, 1)]
    noisy = np.clip(smooth[1] + rng.normal(0, 40, smooth[1].shape), 0, 255).astype(np.uint8)
    names = ["fd_global", "fd_local"]

    def values(images: np.ndarray) -> dict[str, float]:
        sides = [observe(x, metrics=names, net=net, train_resolution=(8, 8)) for x in (images, smooth[0])]
        return score(*sides, metrics=names).values

    clean, damaged = values(smooth[1]), values(noisy)
    rises = {name: damaged[f"{name}_random"] / clean[f"{name}_random"] for name in names}
    assert rises["fd_local"] > 1.5 * rises["fd_global"]


def test_batches_and_subsets_keep_rows_together(net, make_images) -> None:
    images = make_images(20, 0, (16, 16))
    names = ["fd", "accuracy", "kid_local", "repetition", "object_count"]
    options = {"metrics": names, "net": net, "judge": net, "train_resolution": (8, 8)}
    whole = observe(images, **options)
    parts = concatenate([observe(images[:7], **options), observe(images[7:], **options)])
    assert parts.count == 20
    assert set(parts.views) == set(whole.views) == {
        "whole", "judge", "repetition", "objects", *(f"local@{y},{x}" for y in (0, 8) for x in (0, 8))
    }  # fmt: skip
    picked = np.array([3, 11])
    for view, features in whole.views.items():
        np.testing.assert_allclose(features.features_ND, parts.views[view].features_ND, rtol=1e-4, atol=1e-4)
        assert np.array_equal(whole.subset(picked).views[view].features_ND, features.features_ND[picked])


def test_views_that_are_missing_are_stated(net, make_images) -> None:
    with pytest.raises(UserError, match="local distances need the train resolution"):
        observe(make_images(4, 0), metrics=["fd_local"], net=net)
    seen = observe(make_images(4, 0), metrics=["fd"], net=net)
    with pytest.raises(UserError, match="the global view was not observed"):
        score(seen, seen, metrics=["fd_global"])


def test_a_view_that_nothing_builds_is_no_view_of_the_net() -> None:
    with pytest.raises(UserError, match="no view 'saturation' of images is built here; use one of whole, global"):
        views.build("saturation", np.zeros((2, 1, 16, 16), np.uint8), load_net("glyphnet"), None, None, {})  # type: ignore[arg-type]


def test_every_metric_of_images_has_a_view_that_is_built() -> None:
    """Through the path that measuring takes, on images of two sizes."""
    net, judge = load_net("glyphnet"), load_net("glyphjudge")
    images = np.zeros((2, 1, 32, 32), np.uint8)
    for view in {metric.view for metric in METRICS.values() if metric.view not in (*INSIDE, "spatial")}:
        assert views.build(view, images, net, judge, (16, 16), {})
