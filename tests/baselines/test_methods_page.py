"""baselines/README.md is what the code says today."""

from pathlib import Path

from rpe2d_bench.encodings import ENCODINGS, FREQUENCIES, LOGIT_SCALES, POSITIONS
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.reference.methods_page import bound, markdown

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    written = (ROOT / "baselines/README.md").read_text()
    assert written == markdown(ROOT / "tests/golden"), (
        "run python -m rpe2d_bench.reference.methods_page tests/golden baselines/README.md"
    )


def test_every_method_states_its_source() -> None:
    for table in (POSITIONS, FREQUENCIES, LOGIT_SCALES, ENCODINGS):
        for name, cls in table.items():
            assert isinstance(cls.source, Source), name  # type: ignore[attr-defined]
            assert cls.source.clamp, name  # type: ignore[attr-defined]


def test_errors_are_rounded_up() -> None:
    assert [bound(e) for e in (3.4e-7, 9.9e-6, 0.0)] == ["1e-6", "1e-5", "1e-7"]
