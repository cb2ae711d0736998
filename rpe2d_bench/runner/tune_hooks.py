"""What Ray Tune calls during a search: which trial comes next, how one ended, and which training falls behind.

Tune pickles these to restore a search from them. This project restores from its store instead, so what they hold of
the running process is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import Searcher

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.search import Asked

FIRST_RUNG = 4  # no training is stopped before this part (1/4) of its steps


class AsAsked(Searcher):
    """Hands out what `ask` gives; None means: not now. The trial of the values as written is never stopped."""

    def __init__(
        self, ask: Callable[[], tuple[int, Asked] | None], finished: Callable[[], bool], *, stoppable: bool
    ) -> None:
        super().__init__(metric="failed", mode="max")
        self._ask, self._finished, self._stoppable = ask, finished, stoppable

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        given = self._ask()
        if given is None:
            return Searcher.FINISHED if self._finished() else None
        number, asked = given
        stoppable = self._stoppable and asked.number > 0 and asked.entry[0] == "models"
        return {"number": number, "entry": asked.entry[1], "stoppable": stoppable, "asked": asked}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to learn from: `Ended` passes the end on."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store knows what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store knows what is done."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Ended(tune.Callback):
    """Passes on that a trial ended: its number, why it failed, and whether its process did rather than its values."""

    def __init__(self, ended: Callable[[int, str | None, bool], None]) -> None:
        self._ended = ended

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._ended(trial.config["number"], (trial.last_result or {}).get("failed"), False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        failure = trial.get_error()
        text = str(failure).strip().splitlines()[-1] if failure else "its process was killed"
        self._ended(trial.config["number"], text, True)

    def __getstate__(self) -> dict[str, Any]:
        return {}


class EachEntry(FIFOScheduler):
    """ASHA (Li et al. 2018, arXiv 1810.05934) on the training loss, of each model entry among its own trials.

    Losses of different entries are not comparable: random positions and crops make the task harder.
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self._entries = {name: self._asha(experiment.train_of(name).steps) for name in experiment.models}

    @staticmethod
    def _asha(steps: int) -> AsyncHyperBandScheduler:
        grace = max(1, steps // FIRST_RUNG)
        return AsyncHyperBandScheduler(
            time_attr="step", metric="loss", mode="min", max_t=max(steps, grace), grace_period=grace,
            reduction_factor=2, stop_last_trials=False,
        )  # fmt: skip

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        if trial.config["stoppable"]:
            self._entries[trial.config["entry"]].on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if not trial.config["stoppable"]:
            return str(self.CONTINUE)
        return str(self._entries[trial.config["entry"]].on_trial_result(tune_controller, trial, result))

    def __getstate__(self) -> dict[str, Any]:
        return {}
