"""The table of methods as Markdown, from the code itself: baselines/README.md is its output.

Regenerate with `python -m rpe2d_bench.reference.methods_page tests/golden baselines/README.md`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rpe2d_bench.encodings.conformance import parity
from rpe2d_bench.encodings.interface import PositionalEncoding
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.encodings.spec import FROM_MODEL, RULES, schema
from rpe2d_bench.encodings.table import ENCODINGS, FREQUENCIES, LOGIT_BIASES, LOGIT_SCALES, POSITIONS, Methods

SECTIONS: tuple[tuple[str, str, Methods], ...] = (
    ("Positions", "positions", POSITIONS),
    ("Frequencies", "frequencies", FREQUENCIES),
    ("Logit scales", "logit_scale", LOGIT_SCALES),
    ("Biases", "bias", LOGIT_BIASES),
    ("Encodings", "encoding", ENCODINGS),
)
HEAD = """# Methods

Generated from the code by `python -m rpe2d_bench.reference.methods_page tests/golden baselines/README.md`; a test keeps
it current. Every entry is one option of an encoding:
`{kind: axial_rope, positions: {kind: ...}, frequencies: {kind: ...}, logit_scale: {kind: ...}, bias: {kind: ...}}`.

*Parity* is the largest difference from numbers that the reference implementation itself produced (`tests/golden/`,
with repository, commit and call), relative for frequencies and logit scales, absolute for positions, biases and the
cosines and sines of whole encodings; "closed form" means that no public code exists or that it draws at random, and
that tests hold an independent formula.
"""
TAIL = """
## Combinations with a name of their own

| name | is |
| --- | --- |
| RPE-2D | `positions: random`, with RoPE or with sin-cos |
| extrapolation | `positions: grid`, `frequencies: geometric`, nothing else |
| interpolation (PI) | `frequencies: interpolated`; on uniform positions `positions: fractional` is the same |
| VisionNTK, VisionYaRN (FiT) | `ntk`; `yarn` with the logit scale `yarn` |
| YaRN without per-axis scales (FiT) | `scale_from: larger` |
| Dy-YaRN (DyPE) | frequencies `dype_yarn` (2026) or `dype_yarn_2025`, logit scale `yarn` |
| LEDiT | encoding `none`, logit scale `proportional_sqrt`, model options `scan: alternate`, `stem: dilated_conv` |
| RPE-2D x ALiBi | encoding `distance` with `positions: random` and `bias: alibi` |
| scale-invariant attention | encoding `partial_rope` with `bias: scale_invariant` |
| HRDiT | positions `bundled`, one of its five parts; `ntk_lumina` and `proportional_sqrt` are near two others |
| UltraFlux | frequencies `resonance`, logit scale `yarn` |
| DINOv3's augmentation | `shift_scale_jitter` with `max_local: 0`, `max_axis_scale`, `per: batch` |

RPE-2D with `ntk`, `yarn` and the like composes: the scale factor s stays grid / train grid. With
`scale_reference: [H, W]` of the encoding, s is grid / that grid instead; set to `max_grid`, rules clamped at s >= 1
then leave every grid inside the random range alone.
"""


def markdown(golden_folder: Path) -> str:
    """The whole page."""
    reached: dict[tuple[str, str], float] = {}
    for kind, method, _, error in parity.errors(golden_folder):
        reached[kind, method] = max(error, reached.get((kind, method), 0.0))
    for method, error in parity.encoding_errors(golden_folder):
        reached["encoding", method] = max(error, reached.get(("encoding", method), 0.0))
    for kind, found in (("bias", parity.bias_errors), ("positions", parity.position_errors)):
        for method, error in found(golden_folder):
            reached[kind, method] = max(error, reached.get((kind, method), 0.0))
    parts = [HEAD]
    for title, kind, table in SECTIONS:
        parts.append(f"\n## {title}\n")
        for name in sorted(table):
            parts.append(entry(name, table[name], reached.get((kind, name))))
    return "".join([*parts, TAIL])


def entry(name: str, cls: Callable[..., Any], error: float | None) -> str:
    """One method: what it does, where from, with which defaults, and how exactly."""
    source: Source = getattr(cls, "source", Source(paper="not stated"))
    facts = {
        "paper": source.paper,
        "reference": source.code or "none public",
        "defaults": defaults(cls),
        "below the train grid": source.clamp,
        "differs": source.differs,
        "parity": "closed form" if error is None else f"below {bound(error)}",
    }
    listed = "".join(f"- {key}: {value}\n" for key, value in facts.items() if value)
    return f"\n### `{name}`\n\n{first_sentence(cls)}\n\n{listed}"


def first_sentence(cls: Callable[..., Any]) -> str:
    """The first paragraph of the docstring, on one line."""
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def defaults(cls: Callable[..., Any]) -> str:
    """`option: default` for everything a YAML file may set."""
    if inspect.isclass(cls) and issubclass(cls, PositionalEncoding):
        parameters = [p for p in schema(cls).values() if p.name not in FROM_MODEL]
        shown = {
            p.name: rule_name(RULES[p.annotation], p.default) if p.annotation in RULES else p.default
            for p in parameters
        }
    else:
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        shown = {f.name: inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default for f in fields}
    shown = {name: "required" if value is inspect.Parameter.empty else value for name, value in shown.items()}
    return ", ".join(f"`{name}: {yaml(value)}`" for name, value in shown.items())


def rule_name(table: Methods, rule: Any) -> str:
    """The name under which a default rule stands in its table."""
    return next(name for name, cls in table.items() if cls is type(rule))


def yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def bound(error: float) -> str:
    """The next power of ten above an error, so that the page does not change with the last bit."""
    return f"1e{math.floor(math.log10(max(error, 1e-8))) + 1}"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(markdown(Path(sys.argv[1])))
