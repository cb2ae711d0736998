"""When a sampler is where: the times of its steps, the timestep shift, and how many steps that leaves for details.

A shift that grows with the size can leave a large image almost no step in which details are made; most published gains
at large sizes mix that with the positional encoding, so it is said beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

EARLY = 0.9  # steps that start above this t are spent in noise
MOST = 2 / 3  # of the steps; FLUX's own rule crosses it at 2,048 px, and grid artefacts follow (InvokeAI#8838)


def shift_at(shift: float | str, tokens: int, train_tokens: int) -> float:
    """An option `shift` as a number; sqrt_tokens: square root of the ratio of tokens, at least 1 (arXiv 2403.03206).

    Only the ratio counts, so that pixels of whole tokens do as well, and autoencoder and patch change nothing.
    """
    return max(1.0, float((tokens / train_tokens) ** 0.5)) if shift == "sqrt_tokens" else float(shift)


def times(num_steps: int, shift: float = 1.0, start: float = 1.0) -> list[float]:
    """num_steps + 1 times from 1 (noise) to 0 (data); from a start below 1, that share of the steps.

    shift > 1 spends more of them near the noise: t' = s t / (1 + (s - 1) t) (arXiv 2403.03206, equation 23).
    """
    even = torch.linspace(1.0, 0.0, steps_from(start, num_steps) + 1, dtype=torch.float64)
    return (start * (shift * even / (1 + (shift - 1) * even))).tolist()


def steps_from(start: float, num_steps: int) -> int:
    """Steps that are left of a whole run, from t = start."""
    return max(1, round(start * num_steps))


@dataclass(frozen=True)
class Schedule:
    """What a sampler does at a size: its kind, the effective shift, times of the steps' starts from 1 downwards."""

    kind: str
    shift: float
    starts: tuple[float, ...]
    adaptive: bool = False  # the error decides how many steps and where; the starts count its most

    @property
    def early(self) -> float:
        """Share of the steps that start above t = 0.9."""
        return sum(t > EARLY for t in self.starts) / len(self.starts)

    @property
    def warning(self) -> str:
        """A sentence where a shift leaves more than two thirds of the steps in noise, else nothing."""
        if self.shift <= 1 or self.early <= MOST:
            return ""
        few = len(self.starts) - round(self.early * len(self.starts))
        steps = f"{few} of {len(self.starts)} steps" if few else f"none of {len(self.starts)} steps"
        return f"shift {self.shift:g} leaves {steps} below t = {EARLY:g}; write a smaller shift or more steps"

    def __str__(self) -> str:
        if self.adaptive:
            return f"at most {len(self.starts)} steps of {self.kind}, whose error decides how many and where"
        shown = [f"{t:.3g}" for t in self.starts]
        places = " ".join(shown if len(shown) <= 6 else [*shown[:3], "...", *shown[-2:]])
        steps = f"{len(shown)} step{'s' * (len(shown) > 1)} of {self.kind}"
        return f"shift {self.shift:.4g}, {steps} at t {places}, {self.early:.0%} above {EARLY:g}"
