"""What every method must satisfy before it enters a table, applied to ours and to anybody else's alike.

`check("ntk")`, `check("my_package:MyFrequencies")` or `check(MyClass)` return one Finding per demand. A class is told
apart by what it is: an encoding is a PositionalEncoding, frequencies take (ctx, axis, F), positions return two tensors,
a logit scale one number, and a bias has a method `build`. Class attributes speak to the suite: `example`, the options
to build it with where some are required; `identity_at_train_grid = False`, for methods that change something even at
the train grid; and `identity_below_train_grid = True`, for those that change nothing on smaller grids either. An option
`clamp` that is true says the same.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rpe2d_bench.encodings.conformance.biases import BIAS_DEMANDS
from rpe2d_bench.encodings.conformance.demand import TRAIN, Demand
from rpe2d_bench.encodings.conformance.encodings import ENCODING_DEMANDS, HEADS, WIDTH
from rpe2d_bench.encodings.conformance.positions import POSITION_DEMANDS
from rpe2d_bench.encodings.conformance.rules import FREQUENCY_DEMANDS, LOGIT_SCALE_DEMANDS
from rpe2d_bench.encodings.interface import Context, PositionalEncoding
from rpe2d_bench.encodings.spec import FROM_MODEL, schema
from rpe2d_bench.encodings.table import ENCODINGS, FREQUENCIES, LOGIT_BIASES, LOGIT_SCALES, POSITIONS, Methods
from rpe2d_bench.errors import UserError, unknown

DEMANDS: dict[str, tuple[Demand, ...]] = {
    "positions": POSITION_DEMANDS,
    "frequencies": FREQUENCY_DEMANDS,
    "logit_scale": LOGIT_SCALE_DEMANDS,
    "bias": BIAS_DEMANDS,
    "encoding": ENCODING_DEMANDS,
}
TABLES: dict[str, Methods] = {
    "positions": POSITIONS,
    "frequencies": FREQUENCIES,
    "logit_scale": LOGIT_SCALES,
    "bias": LOGIT_BIASES,
    "encoding": ENCODINGS,
}


@dataclass(frozen=True)
class Finding:
    """One demand on one method: kept or not, and what was seen."""

    method: str
    kind: str
    demand: str
    passed: bool
    detail: str = ""


def check(target: str | Callable[..., Any], options: Mapping[str, Any] | None = None) -> list[Finding]:
    """Every demand on a method: a name from a table, `KIND.NAME` where two tables share it, `module:Class`, or a class.

    options: those to build it with; by default the class's `example`. Raises UserError where nothing can be built.
    """
    found = list(named(target)) if isinstance(target, str) else [(target.__name__, None, target)]
    findings = []
    for name, kind, cls in found:
        method = built(name, cls, options)
        kind = kind or kind_of(method)
        findings += [examine(name, kind, demand, method) for demand in DEMANDS[kind]]
    return findings


def named(target: str) -> Iterator[tuple[str, str | None, Callable[..., Any]]]:
    """(name, kind or None, class) of everything a string means."""
    if ":" in target:
        module, _, attribute = target.partition(":")
        try:
            yield target, None, getattr(importlib.import_module(module), attribute)
        except Exception as e:  # whatever a stranger's module does when it is imported
            raise UserError(
                f"cannot check {target!r}: {_in_words(e)}; write module:Class of something that can be imported"
            ) from e
        return
    kind, _, name = target.rpartition(".")
    kinds = [kind] if kind in TABLES else list(TABLES)
    matches = [(name, k, TABLES[k][name]) for k in kinds if name in TABLES[k]]
    if not matches:
        for kind in kinds:
            if name in TABLES[kind].refused:
                raise UserError(TABLES[kind].refused[name])
        raise unknown("method", target, {name for table in TABLES.values() for name in table})
    yield from matches


def built(name: str, cls: Callable[..., Any], options: Mapping[str, Any] | None) -> Any:
    """The method with its example options, for the suite's own model shape."""
    if not inspect.isclass(cls):
        raise UserError(f"cannot check {name}: it is no class; a rule is a frozen dataclass with __call__")
    if issubclass(cls, nn.Module):
        if not issubclass(cls, PositionalEncoding):
            raise UserError(f"cannot check {name}: a whole encoding extends PositionalEncoding, not nn.Module alone")
        if absent := getattr(cls, "__abstractmethods__", None):
            raise UserError(f"cannot check {name}: it lacks {', '.join(sorted(absent))}")
    elif not is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise UserError(
            f"cannot check {name}: its fields are its options and never change, so it must be a frozen dataclass: "
            "@dataclass(frozen=True)"
        )
    given = dict(getattr(cls, "example", {}) if options is None else options)
    if issubclass(cls, PositionalEncoding):
        shape = {"width": WIDTH, "head_width": WIDTH // HEADS, "heads": HEADS}
        given |= {p: shape[p] for p in schema(cls) if p in FROM_MODEL}
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return cls(**given)
    except UserError:
        raise
    except Exception as e:
        raise UserError(
            f"cannot build {name} with {given}: {_in_words(e)}; give it a class attribute `example` with options"
        ) from e


def _in_words(error: Exception) -> str:
    """On one line."""
    return " ".join(str(error).split()) or type(error).__name__


def kind_of(method: Any) -> str:
    """Which of the five kinds an instance is."""
    if isinstance(method, PositionalEncoding):
        return "encoding"
    if callable(getattr(method, "build", None)):
        return "bias"
    if not callable(method):
        raise UserError(f"{type(method).__name__} is no method: it has no __call__ and is no PositionalEncoding")
    if len(inspect.signature(method).parameters) == 3:
        return "frequencies"
    try:
        result = method(Context(TRAIN, TRAIN, t=torch.tensor([0.5])))
    except Exception as e:
        raise UserError(
            f"cannot tell what {type(method).__name__} is, calling it with a Context ends in {type(e).__name__}: "
            f"{_in_words(e)}; frequencies take (ctx, axis, F), positions and logit scales (ctx)"
        ) from e
    if isinstance(result, tuple):
        return "positions"
    if isinstance(result, float | int) or (isinstance(result, Tensor) and result.shape in ((), (1,))):
        return "logit_scale"
    seen = f"a tensor of shape {list(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
    raise UserError(
        f"cannot tell what {type(method).__name__} is: called with a Context it returns {seen}; positions return two "
        "tensors, [B|1, height] and [B|1, width], a logit scale one number or [B]"
    )


def examine(name: str, kind: str, demand: Demand, method: Any) -> Finding:
    """One demand; an exception is a failure with its message."""
    try:
        problem = demand(method)
    except Exception as e:
        problem = f"{type(e).__name__}: {e}"
    title = (demand.__doc__ or demand.__name__).splitlines()[0].rstrip(".")
    return Finding(name, kind, title, problem is None, problem or "")
