"""What Ray Tune calls: which training comes next, and what to do when one ended.

Tune pickles both to restore an experiment from them. This project restores from its store instead, so what they hold
of the running process is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.search import Searcher


class Given(Searcher):
    """Trials that somebody else decides on: a subclass hands them out, nothing is learned from them or saved."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to learn from: `Ended` passes the end on."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store knows what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store knows what is done."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class InOrder(Given):
    """Hands out the trainings in the plan's order; None from `next_training` means that no slot is free now."""

    def __init__(self, next_training: Callable[[], int | None]) -> None:
        super().__init__(metric="done", mode="max")
        self._next = next_training

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        number = self._next()
        return None if number is None else {"number": number}


class Ended(tune.Callback):
    """Passes on that a trial ended: its number, why it failed, and whether its process did rather than its values."""

    def __init__(self, ended: Callable[[int, str | None, bool], None]) -> None:
        self._ended = ended

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._ended(trial.config["number"], (trial.last_result or {}).get("failed"), False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        failure = trial.get_error()
        said = str(failure).strip().splitlines()[-1] if failure else "its process was killed"
        self._ended(trial.config["number"], said, True)

    def __getstate__(self) -> dict[str, Any]:
        return {}
