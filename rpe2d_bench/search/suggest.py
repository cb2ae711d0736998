"""Which values a trial tries: random ones, or those of Optuna's sampler. Both depend on results alone, never on time.

Both give the same values in every engine and after a kill. Trial 0 is the entry as it is written; it is asked
elsewhere.
"""

from __future__ import annotations

import math
import random
from typing import Any, Protocol

from rpe2d_bench.config.experiment import Choices, Range, Search
from rpe2d_bench.resolve.search_space import Space, Values
from rpe2d_bench.search.trials import Tried

ROUND = 2  # trials that Optuna chooses without knowing each other's results: they can run at the same time
REDRAWS = 100  # before values that were drawn already are accepted
DIGITS = 4  # of a number that is tried: as many as one would write


class Suggester(Protocol):
    """Values for the next trial."""

    def suggest(self, tried: list[Tried]) -> Values | None:
        """After the trials that were asked so far; None: it depends on results that are not known yet."""


def suggester(space: Space, search: Search, higher_is_better: bool) -> Suggester:
    """The one that the file asks for."""
    if search.algorithm == "random":
        return RandomValues(space, search.seed)
    return Parzen(space, search.seed, higher_is_better)


class RandomValues:
    """Independent draws; options of the same path and range draw the same values for every entry.

    Equal values then share their training wherever the entries themselves are equal.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed

    def suggest(self, tried: list[Tried]) -> Values | None:
        values: Values = {}
        for attempt in range(REDRAWS):
            values = {
                path: _draw(choices, random.Random(f"{self._seed} {path} {len(tried)} {attempt}"))
                for path, choices in self._space.items()
            }
            if all(values != other.values for other in tried):
                break
        return values


class Parzen:
    """Optuna's TPESampler (Bergstra et al. 2011) in rounds; failed trials teach it nothing."""

    def __init__(self, space: Space, seed: int, higher_is_better: bool) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._space = optuna, space
        self._kinds: dict[str, Any] = {path: self._kind(choices) for path, choices in space.items()}
        # Optuna's own ten random trials would be all that there is; two leave the rest to what was learnt.
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=2)
        self._study = optuna.create_study(direction="maximize" if higher_is_better else "minimize", sampler=sampler)
        self._asked: list[Any] = []
        self._printed = 0

    def suggest(self, tried: list[Tried]) -> Values | None:
        known = 1 + (len(tried) - 1) // ROUND * ROUND
        if any(trial.status == "asked" for trial in tried[:known]):
            return None
        for number in range(self._printed, known):
            self._tell(number, tried[number])
        self._printed = known
        trial = self._study.ask(self._kinds)
        self._asked.append(trial)
        return {path: _value(choices, trial.params[path]) for path, choices in self._space.items()}

    def _tell(self, number: int, tried: Tried) -> None:
        if number:
            failed = self._optuna.trial.TrialState.FAIL if tried.objective is None else None
            self._study.tell(self._asked[number - 1], tried.objective, state=failed)
        elif tried.objective is not None and (params := self._params(tried.values)) is not None:
            made = self._optuna.trial.create_trial(params=params, distributions=self._kinds, value=tried.objective)
            self._study.add_trial(made)

    def _params(self, values: Values) -> dict[str, Any] | None:
        """What the file wrote in Optuna's terms; None where it lies outside of what is tried."""
        params = {}
        for path, choices in self._space.items():
            value = values[path]
            if isinstance(choices, Range):
                if not isinstance(value, int | float) or not choices.low <= value <= choices.high:
                    return None
                params[path] = value
            else:
                places = [place for place, choice in enumerate(choices) if choice == value]
                if not places:
                    return None
                params[path] = places[0]
        return params

    def _kind(self, choices: Choices) -> Any:
        distributions = self._optuna.distributions
        if not isinstance(choices, Range):
            return distributions.CategoricalDistribution(range(len(choices)))
        if choices.integer:
            return distributions.IntDistribution(int(choices.low), int(choices.high), log=choices.log)
        return distributions.FloatDistribution(choices.low, choices.high, log=choices.log)


def _draw(choices: Choices, rng: random.Random) -> Any:
    if not isinstance(choices, Range):
        return rng.choice(choices)
    low, high = (math.log(choices.low), math.log(choices.high)) if choices.log else (choices.low, choices.high)
    if choices.integer and not choices.log:
        return rng.randint(int(low), int(high))
    drawn = rng.uniform(low, high)
    return _value(choices, math.exp(drawn) if choices.log else drawn)


def _value(choices: Choices, drawn: Any) -> Any:
    """A number with as many digits as one would write, inside its range; or the choice at that place."""
    if not isinstance(choices, Range):
        return choices[drawn]
    if choices.integer:
        return round(drawn)
    return min(max(float(f"{drawn:.{DIGITS}g}"), choices.low), choices.high)
