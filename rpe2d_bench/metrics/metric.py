"""What a metric is. Importing this, the table and every metric's file imports no torch, so that reports can read them.

A metric is one object in a file of its own and one line in `table.py`, or in the dict METRICS of a module that an
installed package names under the entry point group `rpe2d_bench.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from rpe2d_bench.metrics.nets.features import Features

# What a metric looks at: ways of seeing images, and two that look at the model instead. See views.py.
View = Literal["whole", "global", "local", "spatial", "judge", "repetition", "objects", "model", "denoising"]
INSIDE: tuple[View, ...] = ("model", "denoising")  # views of models, which real images have no value of
PIXELS: tuple[View, ...] = ("repetition", "objects")  # read from the pixels, without a net

Score = tuple[float, str]  # the value, and in words what the reader must know about it


@dataclass(frozen=True)
class Inputs:
    """What one metric may look at, through one view."""

    generated: Features
    reference: Features
    labels: np.ndarray | None
    reference_labels: np.ndarray | None
    training: Features | None
    seed: int
    drawn: bool = False  # labels are independent draws: class counts are not fixed


@dataclass(frozen=True)
class Metric:
    """One metric: how it is computed, and everything that a reader is told about it."""

    name: str  # in experiment files
    label: str  # in tables and figures
    better: Literal["lower", "higher", "neither"]
    explanation: str
    citation: str
    view: View
    compute: Callable[[Inputs], Score] | None  # None: the stage that looks at the model computes it
    version: str = "1"  # part of content keys: raised with every change that can move a number, of a pixel view's too
    factor: float = 1.0  # what is shown = factor x what is recorded; 100: shown in per cent
    compared: Literal["difference", "ratio", "odds ratio"] = "difference"  # distances by ratio, shares of 1 by odds
    training: bool = False  # looks at training images too
    logits: bool = False  # looks at the net's classes
    only: str | None = None  # the one net that it is defined on
    means: str | None = None  # another name for this metric, with the net of `only`

    @property
    def has_net(self) -> bool:
        """Whether its values differ by net, whose name then belongs to the value's name."""
        return self.only is None and self.view not in (*PIXELS, *INSIDE)
