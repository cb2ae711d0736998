"""Options that no field of their dataclass bounds: numbers are finite, and truth values are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from rpe2d_bench.config.options import parse_options
from rpe2d_bench.errors import OptionError


@dataclass(frozen=True)
class Rule:
    """As another package may write one."""

    strength: float = 1.0
    sides: tuple[float, ...] = ()
    on: bool = False


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("strength", float("inf"), "must be finite, got inf"),
        ("strength", float("nan"), "must be finite, got nan"),
        ("sides", [1.0, float("-inf")], r"must be finite, got \[1.0, -inf\]"),
        ("strength", True, "true and false are no value here"),
        ("sides", [1.0, False], "true and false are no value here"),
    ],
)
def test_what_is_no_number_is_refused_with_its_place(option: str, value: Any, complaint: str) -> None:
    with pytest.raises(OptionError, match=f"encoding.frequencies.{option}: {complaint}"):
        parse_options(Rule, {option: value}, "encoding.frequencies", "the rule")


def test_the_rest_is_taken() -> None:
    read = parse_options(Rule, {"strength": 2, "sides": [1, 2.5], "on": True}, "encoding.frequencies", "the rule")
    assert read == Rule(2.0, (1.0, 2.5), True)
