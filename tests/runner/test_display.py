"""What a person sees while a run goes on: every phase, one time left, results that are not repeated, in 80 columns."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.planned import planned
from rich.console import Console

from rpe2d_bench.cli.live_display import Display
from rpe2d_bench.cli.view import View, worker
from rpe2d_bench.plan.work import work_of
from rpe2d_bench.storage import progress
from rpe2d_bench.storage.progress import ProgressFiles
from rpe2d_bench.storage.store import Store

EXPERIMENT = Path(__file__).parent.parent.parent / "experiments/res_generalization.yaml"


def report(files: ProgressFiles, key: str, *phases: tuple[str, str, int, int, dict[str, object]]) -> None:
    """As a worker does: each phase written, whatever the time between two."""
    with files.working(key):
        for phase in phases:
            files._written = 0.0
            files(phase[0], key, *phase[2:4], {**phase[4], **({"phase": phase[1]} if phase[1] else {})})
            time.sleep(0.01)


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Display, Store]:
    """A display of a run that has just begun its first training and the measurement with the longest name."""
    plan, store = planned(EXPERIMENT), Store(tmp_path)
    display = Display(plan, store, Console(file=io.StringIO(), width=80), "kid")
    work = work_of(plan, store, lambda stage: 1.0)
    display.planned(work)
    longest = max((job for job in work.jobs if job.kind == "cell"), key=lambda job: len(job.label))
    for job in (work.jobs[0], longest):
        display.begun(job)
    files = ProgressFiles(store)
    report(files, work.jobs[0].key, ("train", "rendering training images", 4000, 20_000, {}))
    report(files, longest.key, ("sample", "", 0, 250, {}), ("sample", "", 125, 250, {"images_per_second": 4.32}))
    return display, store


@pytest.mark.parametrize("width", [80, 200])
def test_the_panel_fits_and_says_everything(begun: tuple[Display, Store], width: int) -> None:
    view = begun[0].view()
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(view)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, output.splitlines())) <= width
    assert "…" not in output
    plain = " ".join(output.split())
    for words in ("left: 0 of 4 models, 0 of 70 cells", "rendering training images 4,000/20,000", "sampling 125/250",
                  "4.3 images/s", "train rope 32px seed 0"):  # fmt: skip
        assert words in plain
    assert max(map(len, view.lines())) <= 80


def test_what_a_worker_shows_moves_the_time_left(begun: tuple[Display, Store]) -> None:
    display, store = begun
    before = display.view().left
    training = next(job for job in display._order.running.values() if job.kind == "training")
    steps = ("train", "", 1, 1200, {}), ("train", "", 2, 1200, {"loss": 0.5})
    files = ProgressFiles(store)
    with files.working(training.key):
        files(*steps[0][:1], training.key, 1, 1200, {})
        files._began -= 100.0  # a step in 100 s
        files._written = 0.0
        files("train", training.key, 2, 1200, {"loss": 0.5})
        after = display.view()
    assert before is not None
    assert after.left is not None
    assert after.left > 10 * before
    assert "training 2/1,200, loss 0.5000" in "\n".join(after.lines())


def test_phases_are_kept_with_their_seconds(tmp_path: Path) -> None:
    files = ProgressFiles(Store(tmp_path))
    report(files, "a", ("train", "first step", 0, 0, {}), ("train", "", 1, 10, {"loss": 1.0}), ("train", "", 9, 10, {}))
    found = files.ended("a")
    assert found is not None
    assert [(p.name, p.first, p.done, p.total) for p in found.phases] == [("first step", 0, 0, 0), ("", 1, 9, 10)]
    assert found.facts == {"loss": 1.0}
    assert all(phase.seconds > 0 for phase in found.phases)
    assert worker("train x", found) == "train x: training 9/10, loss 1.0000"
    assert files.read("a") is None


def test_status_reads_what_another_process_shows(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    view = View("a run", 120.0, 540.0, "", (1, 6), (12, 84), ("train rope 32px seed 0: training 300/1,200",))

    def status() -> str:
        program = "from rpe2d_bench.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", program, "status", str(store.root)],
                              capture_output=True, text=True, check=True)  # fmt: skip
        return done.stdout

    store.root.mkdir()
    assert status() == f"nothing runs in {store.root}\n"
    files = ProgressFiles(store)
    files.show(view.as_dict())
    assert View.of(json.loads(json.dumps(view.as_dict()))) == view
    output = status()
    for words in ("a run", "2 min, about 9 min left: 1 of 6 models, 12 of 84 cells", "training 300/1,200"):
        assert words in output
    dead = ProgressFiles(store, f"{files.run.rpartition('-')[0]}-{2**22 + 1}")  # no process has this number
    files.close()
    dead.show(view.as_dict())
    assert "a run ended without a word after 2 min, with 1 of 6 models, 12 of 84 cells" in status()
    ProgressFiles(store).clear()
    assert status() == f"nothing runs in {store.root}\n"


def test_a_run_leaves_the_files_of_another_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = ProgressFiles(store, f"elsewhere-{os.getpid()}")  # another machine: alive as long as its file is touched
    other.show({})
    other.begun("a", "waiting")
    other.say("a sentence")
    ProgressFiles(store).clear()
    assert other.read("a") is not None
    assert other.notices() == ["a sentence"]
    os.utime(store.root / "progress" / f"{other.run}.run", (0, 0))
    ProgressFiles(store).clear()
    assert other.read("a") is None
    assert not progress.runs(store)


def test_results_are_one_line_and_coinciding_ones_are_stated_once(tiny: Path, tmp_path: Path) -> None:
    from rpe2d_bench.runner import run

    overrides = ("seeds=[0, 1]", "evaluate.metrics=[kid, kid_global, accuracy]")
    plan, store = planned(tiny, *overrides), Store(tmp_path / "runs")
    console = Console(file=io.StringIO(), width=80)
    looks: list[tuple[int, int]] = []
    display = Display(plan, store, console, "kid")
    display.on_first_look(lambda seed: looks.append((seed, display.view().models[0])))
    with display:
        run(plan, store, engine="local", listeners=(display.on_record,), watch=display)
        assert display.view().models == (4, 4)
        assert display.view().cells == (18, 18)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    measured = [line for line in lines if line.startswith("measured ")]
    assert not any("ntk 16px" in line for line in measured)
    assert lines.count("    same numbers as extrapolation: ntk") == 2
    assert len(measured) == 2 * (9 - 1 + 3) + 5  # cells without the one that coincides, floors, rulers of one seed
    assert all(line.count("KID") == 1 and line.count("accuracy") == 1 for line in measured)
    assert "Global" not in "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert looks == [(0, 2)]  # the first seed, when the second has no model yet
    assert not list((store.root / "progress").glob("*.json"))
