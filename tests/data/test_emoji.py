"""Emoji: the same image whatever is asked with it, no emoji on two sides, more detail at more pixels, licences."""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np
import pytest
import torch

from rpe2d_bench import data
from rpe2d_bench.data.emoji import drawing
from rpe2d_bench.data.emoji.dataset import SETS, EmojiImages, EmojiOptions
from rpe2d_bench.data.emoji.packed import LICENCES, Emoji, packed
from rpe2d_bench.data.image_pool import cached_images
from rpe2d_bench.data.interface import SPLITS, Dataset
from rpe2d_bench.data.resample import window_weights
from rpe2d_bench.errors import UserError

QUARTERS = Emoji("ours", "quarters", "quarters", "Symbols", 32, 32, '<path fill="#ff0000" d="M0 0h16v16H0z"/>')
GREY = (128, 128, 128)


@pytest.fixture(scope="module")
def emoji() -> EmojiImages:
    pytest.importorskip("resvg_py")
    return EmojiOptions().build()


def test_an_image_depends_on_its_index_alone(emoji: EmojiImages) -> None:
    indices = np.array([17, 3, 4030, 3])
    together = emoji.images("train", indices, (24, 40))
    alone = [EmojiOptions().build().images("train", np.array([index]), (24, 40))[0] for index in indices]
    assert (together == np.stack(alone)).all()
    assert (together[1] == together[3]).all()
    assert (emoji.images("train", indices[:1], (24, 40)) != together[1:2]).any()
    assert emoji.labels("train", indices).tolist() == [
        emoji.class_names.index(shown.category) for shown in emoji.emoji("train", indices)
    ]


def test_draws_of_one_training_emoji_differ_and_held_out_ones_are_drawn_once(emoji: EmojiImages) -> None:
    once = emoji.size("train") // emoji.options.train_draws
    indices = np.array([5, 5 + once])
    first, second = emoji.emoji("train", indices)
    assert first == second
    drawn = emoji.images("train", indices, (16, 16)).astype(int)
    assert np.abs(drawn[0] - drawn[1]).mean() > 5
    for split in ("validation", "test"):
        shown = emoji.emoji(split, np.arange(emoji.size(split)))  # type: ignore[arg-type]
        assert len(set(shown)) == len(shown)


def test_no_emoji_nor_its_variants_are_on_two_sides(emoji: EmojiImages) -> None:
    sides: dict[str, set[str]] = defaultdict(set)
    for split in SPLITS:
        for shown in emoji.emoji(split, np.arange(emoji.size(split))):
            for key in (f"name {shown.name}", f"group {shown.group}"):
                sides[key].add(split)
    assert max(map(len, sides.values())) == 1
    groups = {shown.name: shown.group for shown in packed().emoji}
    assert groups["left-arrow"] == groups["right-arrow"]  # images are mirrored
    assert groups["red-heart"] == groups["blue-heart"]
    assert groups["one-oclock"] == groups["twelve-thirty"]
    assert groups["magnifying-glass-tilted-left"] == groups["magnifying-glass-tilted-right"]
    assert groups["cat"] != groups["dog"]


def test_a_set_alone_is_split_as_all_together(emoji: EmojiImages) -> None:
    alone = EmojiOptions(sets=("fxemoji",)).build()
    together = set(emoji.emoji("test", np.arange(emoji.size("test"))))
    assert set(alone.emoji("test", np.arange(alone.size("test")))) < together


def test_people_flags_and_skin_tones_are_out(emoji: EmojiImages) -> None:
    assert emoji.num_classes == 7
    assert not {"Flags", "People & Body"} & set(emoji.class_names)
    assert not [shown.name for shown in packed().emoji if "skin-tone" in shown.name]
    assert {shown.set for shown in packed().emoji} == set(SETS)
    assert len(packed().emoji) > 5000


def test_licences_of_every_set_are_in_the_package() -> None:
    text = LICENCES.read_text()
    for source in packed().sources:
        assert source.licence in ("MIT", "Apache-2.0")
        name, _, version = source.package.rpartition("@")
        for part in (f"{name} {version}", source.author.removesuffix("."), source.origin, f"({source.licence})"):
            assert part in text, part
        assert source.emoji == sum(shown.set == source.set for shown in packed().emoji)
    assert "Permission is hereby granted, free of charge" in text
    assert "Apache License, Version 2.0" in text


def test_drawn_where_the_view_says() -> None:
    pytest.importorskip("resvg_py")
    view = drawing.View(extent=0.5, y=0.125, x=-0.25, mirrored=False, hue=0.0, ground=GREY)
    image = drawing.draw(QUARTERS, view, (64, 128))
    red = (image[0].astype(int) > 200) & (image[2] < 60)
    rows, columns = np.nonzero(red)
    # the emoji's middle is at (32 + 8, 64 - 16), its upper left quarter 16 pixels wide; edges are soft
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 39, 32, 47)
    assert (image[:, 50:, 70:] == 128).all()
    mirrored = drawing.draw(QUARTERS, drawing.View(0.5, 0.125, -0.25, True, 0.0, GREY), (64, 128))
    assert np.abs(mirrored[:, :, 32:64][:, :, ::-1].astype(int) - image[:, :, 32:64]).max() <= 2


def test_hue_turns_keep_greys_and_luma_and_come_round() -> None:
    colours = np.array([[120.0, 110, 100], [90, 120, 100], [128, 128, 128]])
    luma = colours @ np.array([0.213, 0.715, 0.072])
    for angle in (0.3, 2.0, -1.0):
        turned = colours @ drawing._hue_turn(angle).T
        assert turned @ np.array([0.213, 0.715, 0.072]) == pytest.approx(luma, abs=0.05)  # of rounded constants
        assert turned[2] == pytest.approx(colours[2], abs=0.05)
        assert np.abs(turned[0] - colours[0]).max() > 1
    assert colours @ drawing._hue_turn(2 * np.pi).T == pytest.approx(colours, abs=1e-3)


def test_any_shape_shows_the_same_plane_and_more_pixels_more_detail(emoji: EmojiImages) -> None:
    indices = np.arange(40)
    small, large = (emoji.images("test", indices, (side, side)).astype(np.float32) for side in (48, 96))
    weights = window_weights(torch.tensor([0]), torch.tensor([96]), 96, 48)[0].numpy()
    down = weights @ large @ weights.T
    assert np.abs(down - small)[:, :, 3:-3, 3:-3].mean() < 1.0  # the same scene, by the same filter
    up = window_weights(torch.tensor([0]), torch.tensor([48]), 48, 96)[0].numpy()
    assert np.abs(up @ small @ up.T - large).mean() > 2.0  # what 96 pixels show beyond 48
    wide = emoji.images("test", indices, (48, 80)).astype(np.float32)
    assert np.abs(wide[:, :, :, 16:64] - small).mean() < 0.5
    assert (wide[:, :, :, :4].std((2, 3)) < 1).mean() > 0.95  # ground beside it


def test_consecutive_images_show_all_categories(emoji: EmojiImages) -> None:
    share = np.bincount(emoji.labels("test", np.arange(emoji.size("test")))) / emoji.size("test")
    for start in (0, 300, 700):
        seen = np.bincount(emoji.labels("test", np.arange(start, start + 200)), minlength=7)
        assert np.abs(seen - 200 * share).max() <= 2


def test_grounds_are_of_all_colours(emoji: EmojiImages) -> None:
    corner = emoji.images("train", np.arange(150), (16, 16))[:, :, 0, 0]
    assert corner.std(0).min() > 50


def test_the_pool_is_kept_and_the_table_knows_the_name(emoji: EmojiImages, tmp_path) -> None:  # type: ignore[no-untyped-def]
    built = data.build({"name": "emoji"})
    assert isinstance(built, Dataset)
    assert built.revision == emoji.revision != data.build({"name": "emoji", "hue": 0.1}).revision
    first = cached_images(built, "train", 6, (16, 16), tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmojiImages, "images", lambda *_: pytest.fail("drawn twice"))
        assert (cached_images(built, "train", 6, (16, 16), tmp_path) == first).all()
    assert "5,357 emoji of 5 sets in 7 classes" in data.summary(built)


def test_without_the_renderer_one_sentence_and_everything_but_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    built = data.build({"name": "emoji"})
    assert len(built.labels("test", np.arange(5))) == 5
    assert built.revision.startswith("emoji-v1-")
    with pytest.raises(UserError, match=r"resvg-py==0\.5\.0, which is not installed; write: pip install .*\[emoji\]"):
        built.images("test", np.arange(1), (16, 16))


def test_another_version_of_the_renderer_is_refused(monkeypatch: pytest.MonkeyPatch, emoji: EmojiImages) -> None:
    monkeypatch.setattr("resvg_py.__resvg_version__", "0.1.0")
    with pytest.raises(UserError, match=r"drawn by resvg 0\.48\.1, but resvg 0\.1\.0 is installed"):
        emoji.images("test", np.arange(1), (16, 16))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sets": ["notto"]}, "did you mean 'noto'"),
        ({"sets": []}, "at least one set"),
        ({"hue": 0.7}, r"data\.hue must lie between 0 and 0\.5"),
        ({"jitter": 0.5}, r"data\.jitter"),
        ({"train_draws": 0}, r"data\.train_draws"),
        ({"test_share": 0.9}, "their sum at most 0.9"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_refuses(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        data.validate({"name": "emoji", **options})


def test_refuses_images_that_are_not_there(emoji: EmojiImages) -> None:
    with pytest.raises(UserError, match=r"the test split of these emoji has \d+ images; image 99999 was asked for"):
        emoji.labels("test", np.array([99999]))
    with pytest.raises(UserError, match="at least one pixel"):
        emoji.images("test", np.array([0]), (0, 8))
