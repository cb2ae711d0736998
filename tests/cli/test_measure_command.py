"""`rpe2d-bench measure` on faulty images: every fault has its sentence, nothing is dropped in silence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rpe2d_bench import cli

RNG = np.random.default_rng(0)
Measure = Callable[..., Any]


def sample_images(count: int, size: tuple[int, int] = (16, 16), channels: int = 1) -> np.ndarray:
    return RNG.integers(0, 256, (count, *size, channels), dtype=np.uint8)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Measure:
    """The command's JSON of the first set, or its sentence; in a folder with a reference of 40 images."""
    monkeypatch.chdir(tmp_path)
    np.savez("real.npz", sample_images(40), np.arange(40) % 10)
    np.savez("fake.npz", sample_images(30), np.arange(30) % 10)

    def call(samples: str = "fake.npz", *arguments: str, reference: str = "real.npz") -> Any:
        line = ["rpe2d-bench", "measure", samples, "--reference", reference, "--json"]
        monkeypatch.setattr(sys, "argv", [*line, "--features", "glyphnet", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output = capsys.readouterr()
        if not ended.value.code:
            return json.loads(output.out)
        assert (ended.value.code, output.err.count("\n")) == (2, 1)
        assert output.err.startswith("error: ")
        return output.err

    return call


def folder(name: str, images: list[Image.Image]) -> str:
    Path(name).mkdir()
    for index, image in enumerate(images):
        image.save(Path(name) / f"{index:03}.png")
    return name


def grey(size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.fromarray(sample_images(1, size)[0, :, :, 0])


def test_fewer_images_than_asked(measure: Measure) -> None:
    assert "fake.npz holds 30 images, but 31 were asked for; ask for fewer" in measure("fake.npz", "--count", "31")
    assert "0 images cannot be measured" in measure("fake.npz", "--count", "0")
    assert "-3 images cannot be measured" in measure("fake.npz", "--count=-3")


def test_the_counts_that_were_used_stand_in_the_result(measure: Measure) -> None:
    found = measure("fake.npz", "--metrics", "fd,kid", "--count", "20")
    assert found["details"]["counts"] == {"generated": 20, "reference": 20}
    assert (found["details"]["sources"]["samples"]["found"], found["details"]["sources"]["samples"]["used"]) == (30, 20)
    unequal = measure("fake.npz", "--metrics", "kid")["details"]
    assert unequal["warnings"] == ["unequal counts: 30 generated, 40 reference images"]
    assert "fixed class counts" in unequal["notes"]["kid_glyphnet"]


def test_mixed_sizes_are_stated_or_refused(measure: Measure) -> None:
    mixed = folder("mixed", [grey((16, 16) if index % 2 else (24, 16)) for index in range(40)])
    found = measure(mixed, "--metrics", "kid")["details"]
    assert found["warnings"] == ["samples: images of 2 sizes, each resized to the net's input"]
    assert found["sources"]["samples"]["sizes"] == {"24x16": 20, "16x16": 20}
    assert "are mixed, but repetition compares images of one size" in measure(mixed, "--metrics", "repetition")
    np.savez("large.npz", sample_images(40, (24, 24)))
    found = measure("large.npz", "--metrics", "kid")["details"]
    assert "sizes differ (samples 24x24, reference 16x16), all resized to the net's input" in found["warnings"][0]
    refused = measure("large.npz", "--metrics", "kid_local", "--train-resolution", "16")
    assert "generated images are 24x24 pixels, references 16x16 pixels" in refused


def test_conversions_are_counted(measure: Measure) -> None:
    opaque = Image.fromarray(sample_images(1, channels=3)[0]).convert("RGBA")
    place = folder("colours", [*(grey() for _ in range(39)), opaque])
    found = measure(place, "--metrics", "kid")["details"]["sources"]["samples"]
    assert found["notes"] == {"opaque alpha channel dropped": 1}
    assert "grey repeated to RGB" in found["resize"]["whole"]
    assert found["used"] == 40
    opaque.putpixel((3, 3), (0, 0, 0, 10))
    opaque.save(Path(place) / "last.png")
    found = measure(place, "--metrics", "kid")["details"]["sources"]["samples"]
    assert found["notes"] == {"opaque alpha channel dropped": 1, "transparency composited on white": 1}


def test_what_is_left_out_is_that_of_the_folder_not_of_another_with_the_same_images(measure: Measure) -> None:
    images = [grey() for _ in range(30)]
    clean, other = folder("clean", images), folder("other", images)
    (Path(other) / "README.txt").write_text("of the other folder")
    for _ in range(2):  # the second time nothing is decoded
        assert measure(clean)["details"]["sources"]["samples"]["notes"] == {}
        (note,) = measure(other)["details"]["sources"]["samples"]["notes"]
        assert "left out" in note


def test_damaged_images_are_named(measure: Measure) -> None:
    place = folder("damaged", [grey((64, 64)) for _ in range(4)])
    whole = (Path(place) / "002.png").read_bytes()
    (Path(place) / "002.png").write_bytes(whole[: len(whole) // 2])
    assert "damaged/002.png cannot be decoded" in measure(place)
    (Path(place) / "002.png").write_bytes(b"")
    assert "damaged/002.png is empty" in measure(place)
    content = Path("fake.npz").read_bytes()
    Path("torn.npz").write_bytes(content[: len(content) // 2])
    assert "torn.npz is not a readable .npz" in measure("torn.npz")


def test_numbers_that_are_no_grey_levels(measure: Measure) -> None:
    np.savez("nan.npz", np.full((30, 8, 8, 3), np.nan, np.float32))
    assert "is float32 (30, 8, 8, 3); expected uint8" in (output := measure("nan.npz"))
    assert "round and clip (NaN has no grey level)" in output
    np.savez("words.npz", sample_images(30), np.array(["cat"] * 30))
    assert "arr_1 of words.npz is <U3 (30,); expected one class number for each of the 30" in measure("words.npz")
    np.savez("short.npz", sample_images(30), np.arange(29))
    assert "arr_1 of short.npz is int64 (29,)" in measure("short.npz")
    np.savez("far.npz", sample_images(30), np.arange(30))
    refused = measure("far.npz", "--metrics", "accuracy", "--judge", "glyphjudge")
    assert "labels run from 0 to 29, but glyphjudge knows classes 0 to 9" in refused


def test_too_few_images_for_a_metric(measure: Measure) -> None:
    note = measure("fake.npz", "--metrics", "fd")["details"]["notes"]["fd_glyphnet"]
    assert note == "30 images for 64 features: biased upwards, compare equal counts only"
    for count, metric, sentence in (
        (1, "fd", "a Frechet distance needs at least 2 images on each side, got 1"),
        (1, "kid", "a kernel distance needs at least 2 images on each side, got 1"),
        (3, "recall", "3 images have no 3 nearest neighbours; at least 4 are needed"),
        (3, "fd_infinity", "needs at least 40 images on each side, got 3"),
    ):
        assert sentence in measure("fake.npz", "--metrics", metric, "--count", str(count))


def test_a_relative_metric_within_the_train_resolution_is_called_the_plain_one(measure: Measure) -> None:
    asked = ("fake.npz", "--metrics", "kid,kid_local", "--train-resolution")
    found = measure(*asked, "16x32")
    assert found["values"]["kid_local_glyphnet"] == found["values"]["kid_glyphnet"]
    text = "kid_local: images of 16x16 are no larger than the train resolution 16x32, so that "
    assert any(warning.startswith(text) for warning in found["details"]["warnings"])
    found = measure(*asked, "16x8")
    assert found["values"]["kid_local_glyphnet"] != found["values"]["kid_glyphnet"]
    assert not any("kid_local" in warning for warning in found["details"]["warnings"])


def test_what_is_missing_is_stated_before_features_are_computed(measure: Measure, monkeypatch: Any) -> None:
    monkeypatch.setattr(
        "rpe2d_bench.metrics.observe_files.observe", lambda *_, **__: pytest.fail("features were computed")
    )
    for arguments, sentence in (
        (("--metrics", "kid_global"), "give --train-resolution"),
        (("--metrics", "memorization"), "give --training"),
        (("--metrics", "accuracy"), "needs a judge"),
        (("--metrics", "attention_entropy"), "looks into the model, not at images"),
        (("--metrics", "sfid"), "is defined on the features of 'inception'"),
        (("--weights", "a.pt"), "brings its own weights"),
        (("--seed", "-1", "--count", "20"), "--seed -1: a seed is 0 or more"),
        (("--device", "gpu"), "unknown device 'gpu'"),
        (("--train-resolution", "12x"), "a resolution is written 48 or HEIGHTxWIDTH"),
    ):
        assert sentence in measure("fake.npz", *arguments)
    for file in ("fake.npz", "real.npz"):
        np.savez(file, sample_images(30))
    refused = measure("fake.npz", "--metrics", "accuracy", "--judge", "glyphjudge")
    assert "write it as arr_1 of an .npz; fake.npz has none" in refused


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], measure: Measure) -> Measure:
    """What the command prints, in the same folder as `measure`."""

    def call(*arguments: str) -> str:
        line = ["rpe2d-bench", "measure", *arguments, "--reference", "real.npz", "--features", "glyphnet"]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit):
            cli.main()
        output = capsys.readouterr()
        return output.out + output.err

    return call


def test_several_sets_are_one_table_with_paired_differences(table: Measure) -> None:
    labels = np.arange(40) % 10
    for name in ("one", "other"):
        np.savez(f"{name}.npz", sample_images(40), labels)
    np.savez("dark.npz", sample_images(40) // 4, labels)
    np.savez("turned.npz", sample_images(40), labels[::-1])
    printed = table("one.npz", "other.npz", "dark.npz", "turned.npz", "--metrics", "fd")
    lines = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert "minus one" in lines["set"]
    assert "not separated" in lines["other"]
    assert lines["dark"].endswith("worse")
    assert "turned is not paired: its labels are not those of one; no difference." in printed
    assert "{" not in printed  # Python's dictionaries stay inside
    assert "minus dark" in table("one.npz", "dark.npz", "--metrics", "fd", "--against", "dark")


def test_a_set_against_itself_says_so(table: Measure) -> None:
    for metric in ("fd", "kid"):
        printed = table("real.npz", "--metrics", metric)
        assert "warning: samples and reference are the same images" in printed
        assert "real " in printed
    assert "0.000 [0.000, 0.000]" in table("real.npz", "--metrics", "fd")
    assert "the same images" not in table("fake.npz", "--metrics", "fd")


def test_sets_that_cannot_be_compared_have_their_sentence(table: Measure) -> None:
    Path("empty").mkdir()
    np.savez("large.npz", sample_images(30, (24, 24)))
    for arguments, sentence in (
        (("fake.npz", "real.npz"), "real.npz holds 40 images, fake.npz 30: metrics depend on the number"),
        (("fake.npz", "large.npz", "--metrics", "kid"), "images of fake.npz have 16x16 pixels, of large.npz 24x24;"),
        (("fake.npz", "fake.npz"), "fake.npz is given twice"),
        (("fake.npz", "--against", "fakes"), "unknown set to compare against 'fakes' (did you mean 'fake'?)"),
        (("empty",), "empty has no images"),
    ):
        printed = table(*arguments)
        assert printed.count("error: ") == printed.count("\n") == 1
        assert sentence in printed


def test_the_next_call_takes_no_features(table: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    first = table("fake.npz")
    monkeypatch.setattr(
        "rpe2d_bench.metrics.observe_files.observe", lambda *_, **__: pytest.fail("features were taken")
    )
    assert table("fake.npz") == first
    Path("fake.npz").rename("renamed.npz")  # content decides, not the name
    assert "renamed" in table("renamed.npz")
