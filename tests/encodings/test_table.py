"""The merged tables: complete, read-only, unambiguous, and helpful about names they lack."""

import pytest

from rpe2d_bench.encodings import ENCODINGS, FREQUENCIES, LOGIT_SCALES, POSITIONS
from rpe2d_bench.errors import UserError


def test_the_published_methods_are_all_there() -> None:
    assert {
        "grid",
        "centred",
        "fractional",
        "random",
        "shift_scale_jitter",
        "crop_true",
        "random_stride",
        "anchored",
    } <= set(POSITIONS)
    assert {"geometric", "interpolated", "ntk", "ntk_lumina", "ntk_by_parts", "yarn", "yarn_turns", "time_aware"} | {
        "dype_ntk",
        "dype_yarn",
        "dype_yarn_2025",
        "riflex",
        "dominant",
    } <= set(FREQUENCIES)
    assert {"constant", "yarn", "proportional_sqrt", "proportional_log", "fit_code"} <= set(LOGIT_SCALES)
    assert {"axial_rope", "mixed_rope", "axial_sincos", "learned", "none"} <= set(ENCODINGS)


def test_unknown_names_come_with_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"unknown frequencies 'ntk_by_part' \(did you mean 'ntk_by_parts'\?\)"):
        FREQUENCIES["ntk_by_part"]
    assert "ntk_by_part" not in FREQUENCIES


def test_tables_are_read_only() -> None:
    with pytest.raises(TypeError):
        FREQUENCIES["mine"] = dict  # type: ignore[index]
