"""What a person sees while a search goes on: as of a run, with trials for cells."""

from __future__ import annotations

from urllib.parse import unquote

from rich.console import Console
from rich.text import Text

from rpe2d_bench.cli.console import put_line
from rpe2d_bench.cli.live_display import Display
from rpe2d_bench.cli.view import duration, worker
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.search import Searching
from rpe2d_bench.search.known import cost_of_rest
from rpe2d_bench.storage.store import Store


class SearchDisplay(Display):
    """Context manager around a search; `said` hears of each trial and `search_begun` of the search itself."""

    def __init__(self, plan: Plan, store: Store, console: Console) -> None:
        super().__init__(plan, store, console, plan.experiment.report.main_metric)
        self._searching: Searching | None = None

    def search_begun(self, searching: Searching) -> None:
        """There is work to do."""
        self._searching = searching
        ended, trials = searching.counts
        cost = duration(cost_of_rest(searching, self._store).seconds)
        put_line(self._console, f"search: {trials} trials before the comparison, {ended} known, about {cost}")

    def on_notice(self, line: str) -> None:
        """One line per trial and per choice."""
        self._console.print(Text(line), soft_wrap=True)

    def _counts(self) -> str:
        ended, trials = self._searching.counts if self._searching else (0, 0)
        return f"search, {ended} of {trials} trials"

    def _workers(self) -> list[str]:
        """A line for each trial that is under way."""
        return [worker(unquote(progress.key), progress) for progress in self._files.all()]
