"""Subsets show the classes of the whole: reference, floor, limited pool, validation; labels follow them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rpe2d_bench import data
from rpe2d_bench.analysis.replicates import kernel_replicates, multinomial_weights
from rpe2d_bench.data.subsets import class_counts, even_subset, labels_by_counts, mixed_order
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import observe
from rpe2d_bench.metrics.kid import mmd2
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.sampling.loop import labels_of
from rpe2d_bench.stages import SampleStage

SIZES = (10, 20, 30, 60, 90, 150, 40)  # images of each class


def uneven() -> tuple[list[str], list[str]]:
    classes = [f"c{c}" for c, size in enumerate(SIZES) for _ in range(size)]
    return classes, [f"c{c}/{i}.png" for c, size in enumerate(SIZES) for i in range(size)]


@pytest.mark.parametrize("count", [30, 57, 100, 200])
def test_every_run_of_images_has_the_classes_of_the_whole(count: int) -> None:
    classes, names = uneven()
    order = mixed_order(classes, names)
    assert sorted(order) == list(range(len(names)))
    drawn = np.array([int(classes[at][1:]) for at in order])
    expected = np.array(SIZES) * count / len(names)
    for start in range(0, len(names) - count, 13):
        found = np.bincount(drawn[start : start + count], minlength=len(SIZES))
        assert np.abs(found - expected).max() <= 1.5


def test_the_order_is_random_within_a_class_and_depends_on_names_alone() -> None:
    classes, names = uneven()
    order = mixed_order(classes, names)
    of_largest = [int(names[at].split("/")[1][:-4]) for at in order if classes[at] == "c5"]
    assert abs(np.corrcoef(of_largest, range(150))[0, 1]) < 0.25
    turned = [len(names) - 1 - at for at in mixed_order(classes[::-1], names[::-1])]
    assert turned == order


def test_labels_follow_counts_exactly_and_take_turns_where_they_are_equal() -> None:
    counts = (3, 0, 1, 8)
    labels = labels_by_counts(counts, np.arange(12))
    assert np.bincount(labels, minlength=4).tolist() == list(counts)
    assert np.array_equal(labels_by_counts(counts, np.array([13, 5])), labels[[1, 5]])
    assert np.array_equal(labels_by_counts((5, 5, 5), np.arange(15)), np.arange(15) % 3)
    drawn = labels_of("iid", 0, np.arange(6000), 4, counts)
    assert np.abs(np.bincount(drawn, minlength=4) / 6000 - np.array(counts) / 12).max() < 0.02


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits as a folder of PNGs, classes of 30 to 210 images."""
    root = tmp_path_factory.mktemp("digits")
    glyphs = data.build({"name": "glyphs"})
    for c in range(10):
        (root / str(c)).mkdir()
        number = 30 + 20 * c
        for i, image in enumerate(glyphs.images("train", c + 10 * np.arange(number), (16, 16))):
            Image.fromarray(image[0]).save(root / str(c) / f"{c}_{i:04}.png")
    return root


def dataset(digits: Path) -> data.Dataset:
    return data.build(
        {"name": "image_folder", "path": str(digits), "test_share": 0.7, "validation_share": 0.1, "channels": 1}
    )


def test_the_floor_of_a_folder_is_compatible_with_zero(digits: Path) -> None:
    """Reference against the next images of the split: the 95 % interval of KID has 0 inside."""
    folder = dataset(digits)
    sides, labels = [], []
    for start in (0, 350):
        indices = np.arange(start, start + 350)
        seen = observe(folder.images("test", indices, (16, 16)), metrics=["kid"], net="glyphnet")
        sides.append(seen.views["whole"].features_ND)
        labels.append(folder.labels("test", indices))
    weights = [multinomial_weights(400, 350, np.random.default_rng(s), labels[s]) for s in (0, 1)]
    low, high = np.quantile(kernel_replicates(*sides, *weights, *labels), (0.025, 0.975))
    assert low < 0 < high
    assert abs(mmd2(*sides, *labels)) < 0.01  # 0.96 where images lie in the order of their names


def test_limited_pools_and_validation_images_show_all_classes(digits: Path) -> None:
    folder = dataset(digits)
    for split, count in (("train", 60), ("validation", 50), ("test", 100)):
        size = folder.size(split)
        assert size is not None
        whole = np.array(class_counts(folder, split, np.arange(size)))
        assert np.abs(np.array(class_counts(folder, split, np.arange(count))) - whole * count / size).max() <= 1.5


def test_an_even_subset_has_each_class_equally_often_or_is_refused(digits: Path) -> None:
    folder = dataset(digits)
    one, other = even_subset(folder, "test", 0, 50), even_subset(folder, "test", 50, 50)
    for indices in (one, other):
        assert class_counts(folder, "test", indices) == (5,) * 10
    assert not set(one) & set(other)
    with pytest.raises(UserError, match=r"balanced, 40 images of each class are needed in the test split, but 0 has"):
        even_subset(folder, "test", 0, 400)
    glyphs = data.build({"name": "glyphs"})
    assert even_subset(glyphs, "test", 7, 5).tolist() == [7, 8, 9, 10, 11]


def planned(digits: Path, tmp_path: Path, labels: str | None, data_line: str = "") -> Plan:
    from helpers.tiny_experiment import TINY

    folder = f"{{name: image_folder, path: {digits}, test_share: 0.7, validation_share: 0.1, channels: 1}}"
    path = tmp_path / "folder.yaml"
    path.write_text(TINY.replace("{name: glyphs}", data_line or folder).replace("num_samples: 12", "num_samples: 200"))
    overrides = () if labels is None else (f"evaluate.labels={labels}",)
    return make_plan(load_experiment(path, overrides), overrides)


def generated(plan: Plan) -> tuple[SampleStage, np.ndarray, np.ndarray]:
    """A sample stage, its labels, and those of its reference."""
    measure = plan.trials[0].cells[0].measure
    sample = measure.generated
    assert isinstance(sample, SampleStage)
    folder = measure.reference.data.build()
    real = folder.labels("test", measure.reference.indices(folder))
    made = labels_of(sample.labels, sample.seed, np.arange(sample.count), 10, sample.class_counts)
    return sample, made, real


def test_generated_labels_follow_the_reference_and_the_plan_says_so(digits: Path, tmp_path: Path) -> None:
    plan = planned(digits, tmp_path, None)
    _, made, real = generated(plan)
    assert np.array_equal(np.bincount(made), np.bincount(real))
    assert np.bincount(real).max() > 3 * np.bincount(real).min()
    assert (
        plan.labels
        == f"as often as in the reference, {np.bincount(real).min()} to {np.bincount(real).max()} of a class"
    )
    assert plan.data.startswith("1,200 images in 10 classes of 30 to 210: train ")


def test_balanced_labels_make_the_reference_balanced(digits: Path, tmp_path: Path) -> None:
    path_of = tmp_path / "folder.yaml"
    with pytest.raises(UserError, match=r"40 images of each class are needed"):
        planned(digits, tmp_path, "balanced")
    path_of.write_text(path_of.read_text().replace("num_samples: 200", "num_samples: 50"))
    plan = make_plan(load_experiment(path_of, ("evaluate.labels=balanced",)))
    _, made, real = generated(plan)
    assert np.bincount(made).tolist() == np.bincount(real).tolist() == [5] * 10
    assert plan.labels == "every class equally often, in the reference, too"


def test_iid_labels_have_the_frequencies_of_the_reference(digits: Path, tmp_path: Path) -> None:
    sample, _, real = generated(planned(digits, tmp_path, "iid"))
    many = labels_of("iid", 0, np.arange(5000), 10, sample.class_counts)
    assert np.abs(np.bincount(many) / 5000 - np.bincount(real) / 200).max() < 0.03


def test_glyphs_keep_their_stages(digits: Path, tmp_path: Path) -> None:
    """An endless stream takes turns: to follow the reference is to be balanced, at the address of before."""
    plain, balanced = (planned(digits, tmp_path, kind, "{name: glyphs}") for kind in (None, "balanced"))
    assert [m.key for m in plain.measures()] == [m.key for m in balanced.measures()]
    sample, made, _ = generated(plain)
    assert (sample.labels, sample.class_counts) == ("balanced", None)
    assert np.array_equal(made, np.arange(200) % 10)


def test_a_perfect_generator_scores_zero_where_its_labels_follow_the_reference(digits: Path) -> None:
    """Real images with the reference's class counts against it; with even counts they would look like a bad model."""
    folder = dataset(digits)
    size = folder.size("test")
    assert size is not None
    indices = np.arange(size)
    reference, rest = indices[:200], indices[200:]
    rest_labels = folder.labels("test", rest)
    counts = class_counts(folder, "test", reference)

    def kid(wanted: np.ndarray) -> float:
        chosen = np.concatenate([rest[rest_labels == c][: wanted[c]] for c in range(10)])
        features = [
            observe(folder.images("test", at, (16, 16)), metrics=["kid"], net="glyphnet").views["whole"].features_ND
            for at in (chosen, reference)
        ]
        return mmd2(*features, folder.labels("test", chosen), folder.labels("test", reference))

    assert abs(kid(np.array(counts))) < 0.012
    assert kid(np.full(10, 15)) > 0.025
