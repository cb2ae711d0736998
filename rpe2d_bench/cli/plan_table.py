"""The table of a plan: a line per method, seeds together, cut into blocks of columns where the terminal is narrow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rpe2d_bench.plan.expand import Cell, Plan, Trial, size
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages.pipeline import PipelineStage
from rpe2d_bench.storage.store import Store

BETWEEN = 2  # spaces between two columns
WIDEST_LABEL = 40  # of which blocks keep their columns in line
Group = tuple[str, Resolution]  # model, and the resolution it is trained at


@dataclass(frozen=True)
class PlanTable:
    """Methods are numbered, so that cells that coincide can name each other in little room."""

    plan: Plan
    store: Store

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        numbers = {name: str(number) for number, name in enumerate(self._methods(self.plan.trials), start=1)}
        pairs = list(dict.fromkeys(trial.train_resolution for trial in self.plan.trials))
        for pair in pairs:
            trials = [trial for trial in self.plan.trials if trial.train_resolution == pair]
            tests = list(dict.fromkeys(cell.test_resolution for trial in trials for cell in trial.cells))
            lines = self._lines(trials, tests, numbers)
            for columns in _blocks(lines, tests, options.max_width):
                yield self._block(lines, tests, columns, first=columns.start == 0)
        yield Text("columns: test resolution in pixels, height first; = N: same images as method N", style="dim")

    def _lines(
        self, trials: list[Trial], tests: list[Resolution], numbers: dict[str, str]
    ) -> list[tuple[str, str, list[str]]]:
        """(number, method, state by test resolution); models are lines without a number."""
        lines: list[tuple[str, str, list[str]]] = []
        for (model, trained_at), members in _groups(trials).items():
            trained = _count([self.store.has("train", trial.stage.key) for trial in members])
            given = isinstance(members[0].stage, PipelineStage)
            lines.append(("", f"{model} {size(trained_at)}: {'as it is' if given else f'training {trained}'}", []))
            for method in self._methods(tuple(members)):
                cells = [cell for trial in members for cell in trial.cells if cell.method == method]
                states = [self._state([c for c in cells if c.test_resolution == t], method, numbers) for t in tests]
                lines.append((numbers[method], method, states))
        return lines

    def _state(self, cells: list[Cell], method: str, numbers: dict[str, str]) -> str:
        """'cached', 'to do' or how many seeds are cached; '= 1' where method 1 does the same; '' where none is.

        Where only a part is shared (a sampler's shift changes samples, not the denoising error), what is not counts.
        """
        if not cells:
            return ""
        firsts = [min([method, *cell.coincides_with], key=lambda name: int(numbers[name])) for cell in cells]
        own = [cell for cell, first in zip(cells, firsts, strict=True) if first == method]
        if not own:
            return f"= {', '.join(sorted({numbers[name] for name in firsts}))}"
        return _count([self.store.has(cell.measure.name, cell.measure.key) for cell in own])

    @staticmethod
    def _methods(trials: tuple[Trial, ...]) -> list[str]:
        """In the order of the table."""
        return list(dict.fromkeys(c.method for members in _groups(trials).values() for t in members for c in t.cells))

    @staticmethod
    def _block(lines: list[tuple[str, str, list[str]]], tests: list[Resolution], columns: range, first: bool) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0))
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("method", overflow="fold", min_width=min(WIDEST_LABEL, _label(lines)))
        for column in columns:
            table.add_column(_short(tests[column]), no_wrap=True)
        for number, name, states in lines:
            if number:
                table.add_row(number, escape(name), *(states[column] for column in columns))
            elif first:
                table.add_row("", Text(name, "bold"))
        table.add_row()
        return table


def _groups(trials: tuple[Trial, ...] | list[Trial]) -> dict[Group, list[Trial]]:
    """Trials that differ in their seed only."""
    found: dict[Group, list[Trial]] = {}
    for trial in trials:
        found.setdefault((trial.model, trial.stage.resolution), []).append(trial)
    return found


def _blocks(lines: list[tuple[str, str, list[str]]], tests: list[Resolution], width: int) -> list[range]:
    """As few blocks as fit, of about the same size; one without columns where nothing is measured."""
    label = _label(lines)
    widest = max([len(_short(test)) for test in tests] + [len(state) for *_, states in lines for state in states] + [1])
    numbers = 2 + BETWEEN
    fit = max(1, (width - label - numbers) // (widest + BETWEEN))
    if not tests:
        return [range(0)]
    blocks = -(-len(tests) // fit)
    each = -(-len(tests) // blocks)
    return [range(start, min(start + each, len(tests))) for start in range(0, len(tests), each)]


def _label(lines: list[tuple[str, str, list[str]]]) -> int:
    return max((len(name) for _, name, _ in lines), default=0)


def _count(cached: list[bool]) -> str:
    if all(cached):
        return "cached"
    return f"{sum(cached)} of {len(cached)}" if any(cached) else "to do"


def _short(resolution: Resolution) -> str:
    return size(resolution).removesuffix("px")
