"""How far a search is: which trial comes next, what came out, and what was chosen. Engines only do what it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolve.search_space import (
    Section,
    Space,
    Values,
    applied,
    chain,
    judge,
    metric_of,
    space_of,
    written,
)
from rpe2d_bench.search.suggest import Suggester, suggester
from rpe2d_bench.search.trials import Tried, measures_of, objective_of, passing_of
from rpe2d_bench.stages import Evaluation, read_result
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.store import Store, content_key

STAGE, VERSION = "search", 1


@dataclass
class Entry:
    """The search of one entry."""

    section: Section
    name: str
    space: Space
    needs: list[tuple[Section, str]]  # entries whose values come first
    default: Values = field(default_factory=dict)
    key: str = ""
    suggester: Suggester | None = None
    tried: list[Tried] = field(default_factory=list)
    outcome: dict[str, Any] | None = None  # when nothing is left to do
    crashed: bool = False  # a trial ended for another reason than its values: its end is not kept

    @property
    def label(self) -> str:
        return f"{self.section.removesuffix('s')} {self.name}"


@dataclass(frozen=True)
class Asked:
    """A trial for an engine to do."""

    entry: tuple[Section, str]
    number: int
    measures: tuple[Evaluation, ...]

    @property
    def label(self) -> str:
        section, name = self.entry
        return f"{section.removesuffix('s')} {name} trial {self.number + 1}"

    @property
    def trains(self) -> str:
        """Key of the training behind it."""
        return passing_of(self.measures[0]).train.key


class Searching:
    """The search of an experiment, or of what some of its methods need. `next` and `ended` are its whole interface.

    `experiment` has the values that were chosen so far. Nothing is asked twice that the store knows.
    """

    def __init__(
        self,
        experiment: Experiment,
        store: Store,
        methods: Iterable[str] = (),
        on_record: Callable[[str], None] = lambda _: None,
    ) -> None:
        assert experiment.search is not None
        self.experiment, self._spec, self._store, self._on_record = experiment, experiment.search, store, on_record
        self.metric, self._higher = metric_of(experiment)
        wanted = [name for name in experiment.methods if not methods or name in methods]
        models = {link for name in wanted for link in chain(experiment, experiment.methods[name].model)}
        self.entries = [self._entry("models", name) for name in experiment.models if name in models]
        self.entries += [self._entry("methods", name) for name in wanted]

    def _entry(self, section: Section, name: str) -> Entry:
        if section == "methods":
            needs: list[tuple[Section, str]] = [("models", self.experiment.methods[name].model)]
        else:
            needs = [("models", link) for link in chain(self.experiment, name)[1:]]
        return Entry(section, name, space_of(self.experiment, section, name), needs)

    @property
    def finished(self) -> bool:
        return all(entry.outcome is not None for entry in self.entries)

    @property
    def counts(self) -> tuple[int, int]:
        """Trials that ended, and all of them."""
        ended = sum(tried.status != "asked" for entry in self.entries for tried in entry.tried)
        ended += sum(self._spec.trials for entry in self.entries if entry.outcome and not entry.tried and entry.space)
        return ended, self._spec.trials * sum(bool(entry.space) for entry in self.entries)

    def next(self) -> Asked | None:
        """The next trial that needs work; None when nothing is left, or only what waits for trials under way."""
        moved = True
        while moved:
            moved = False
            for entry in self.entries:
                if entry.outcome is not None or not self._is_ready(entry):
                    continue
                self._begin(entry)
                while entry.outcome is None and (asked := self._ask(entry)) is not None:
                    if isinstance(asked, Asked):
                        return asked
                moved = moved or entry.outcome is not None
        return None

    def _is_ready(self, entry: Entry) -> bool:
        settled = {(other.section, other.name) for other in self.entries if other.outcome is not None}
        return settled.issuperset(entry.needs)

    def _begin(self, entry: Entry) -> None:
        if entry.suggester is not None:
            return
        if not entry.space:
            self._settle(entry, {"default": {}, "chosen": {}, "trials": []}, on_record=False)
            return
        entry.default = written(self.experiment, entry.section, entry.name)
        measures = measures_of(self.experiment, entry.section, entry.name, self._store)
        matters = {
            "default": [measure.key for measure in measures],
            "values": entry.default,
            "space": self._space(entry),
            "spec": self._spec.model_dump(mode="json", include={"trials", "algorithm", "scheduler", "seed"}),
            "metric": self.metric,
        }
        entry.key = content_key(STAGE, VERSION, matters)
        known = self._store.fetch(STAGE, entry.key)
        if known is not None:
            self._settle(entry, read_result(known), on_record=False)
            return
        entry.suggester = suggester(entry.space, self._spec, self._higher)

    def _space(self, entry: Entry) -> dict[str, Any]:
        dumped = self._spec.model_dump(mode="json")[entry.section]
        found: dict[str, Any] = {**dumped.get("*", {}), **dumped.get(entry.name, {})}
        return found

    def _ask(self, entry: Entry) -> Asked | bool | None:
        """A trial of the entry; True when its result was at hand, None when none can be asked now."""
        number = len(entry.tried)
        if number == self._spec.trials:
            return None
        assert entry.suggester is not None
        values = entry.suggester.suggest(entry.tried) if number else entry.default
        if values is None:
            return None
        tried = Tried(values)
        entry.tried.append(tried)
        try:
            changed = applied(self.experiment, entry.section, entry.name, values) if number else self.experiment
            tried.measures = measures_of(changed, entry.section, entry.name, self._store)
        except UserError as error:
            self._end(entry, number, str(error))
            return True
        if all(self._store.fetch(measure.name, measure.key) for measure in tried.measures):
            self._end(entry, number, None)
            return True
        return Asked((entry.section, entry.name), number, tried.measures)

    def ended(self, asked: Asked, error: str | None, *, crashed: bool = False) -> None:
        """A trial ended: with its stages in the store, or without them and without an error if a scheduler ended it."""
        entry = next(entry for entry in self.entries if (entry.section, entry.name) == asked.entry)
        entry.crashed = entry.crashed or crashed
        self._end(entry, asked.number, error)

    def _end(self, entry: Entry, number: int, error: str | None) -> None:
        tried = entry.tried[number]
        tried.status, tried.error = "failed", error
        # `has` may not know yet what another machine has just finished
        results = (self._store.folder(measure.name, measure.key) / "result.json" for measure in tried.measures)
        if error is None and all(result.exists() for result in results):
            tried.objective = objective_of(self._store, tried.measures, self.metric)
            tried.status = "failed" if tried.objective is None else "ok"
            tried.error = f"{self.metric} is not a number" if tried.objective is None else None
        elif error is None:
            tried.status = "stopped"
        text = f"{self.metric} {tried.objective:.4g}" if tried.objective is not None else tried.error or tried.status
        self._on_record(f"tried {entry.label} {number + 1} of {self._spec.trials}, {sentence_of(tried.values)}: {text}")
        if len(entry.tried) == self._spec.trials and all(tried.status != "asked" for tried in entry.tried):
            self._choose(entry)

    def _choose(self, entry: Entry) -> None:
        """The best trial; of equal ones the first, so that what the file wrote stays where nothing is better."""
        good = [tried for tried in entry.tried if tried.objective is not None]
        objectives = [tried.objective for tried in good if tried.objective is not None]
        best = good[objectives.index(max(objectives) if self._higher else min(objectives))] if good else entry.tried[0]
        outcome = {
            "default": entry.default,
            "chosen": best.values,
            "trials": [tried.as_dict() for tried in entry.tried],
        }
        if good and not entry.crashed:
            kept = self._store.make(STAGE, entry.key, lambda partial: write_json(partial / "result.json", outcome))
            outcome = read_result(kept)  # of two drivers, the first one's
        self._settle(entry, outcome)

    def _settle(self, entry: Entry, outcome: dict[str, Any], on_record: bool = True) -> None:
        entry.outcome = outcome
        if outcome["chosen"] != outcome["default"]:
            self.experiment = applied(self.experiment, entry.section, entry.name, outcome["chosen"])
        if on_record:
            kept = ", as it was written" if outcome["chosen"] == outcome["default"] else ""
            self._on_record(f"chose for {entry.label}: {sentence_of(outcome['chosen'])}{kept}")

    def table(self) -> dict[str, Any]:
        """What records carry: how the search was made, and of each entry its space, trials and chosen values."""
        spec = self._spec.model_dump(mode="json", exclude={"models", "methods"})
        return {
            **spec,
            "split": "validation",
            "metric": self.metric,
            "better": "higher" if self._higher else "lower",
            "entries": [
                {
                    "section": entry.section,
                    "entry": entry.name,
                    "judged_by": judge(self.experiment, entry.name) if entry.section == "models" else entry.name,
                    "space": self._space(entry),
                    **(entry.outcome or {}),
                }
                for entry in self.entries
            ],
        }


def sentence_of(values: Values) -> str:
    """Values as people read them."""
    return ", ".join(
        f"{path} {value:.4g}" if isinstance(value, float) else f"{path} {value}" for path, value in values.items()
    )
