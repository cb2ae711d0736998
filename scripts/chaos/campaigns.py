"""The parts of the campaign. Each trial ends as: survived, repeated, refused and then continued, or differing."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.chaos.damage import FILES, KINDS, spoil
from scripts.chaos.experiment import Driven, drive, outcome, run
from scripts.chaos.stores import Prepared, report_of
from scripts.chaos.tally import Tally

AGAIN = ("again", "aside", "going on from", "not as it was written", "was damaged")  # how the product says so
KILLS_PER_STORE = 4


@contextmanager
def scratch(made: Prepared) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=made.folder))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def verdict(made: Prepared, store: Path, code: int, sentence: str) -> tuple[str, str]:
    """How a trial ended, and in what way it differs."""
    if code or "Traceback" in sentence:
        return "differing", f"exit code {code}: {sentence.strip()[-300:]}"
    found = outcome(store)
    if found != made.expected:
        return "differing", ", ".join(
            sorted(k for k in {**found, **made.expected} if found.get(k) != made.expected.get(k))
        )
    return ("repeated" if any(word in sentence for word in AGAIN) else "survived"), ""


def kills(made: Prepared, count: int, rng: random.Random, tally: Tally) -> None:
    """SIGKILL at random moments of a run, several times on one store, and then to the end."""
    while count > 0:
        with scratch(made) as folder:
            store, sentence = folder / "store", folder / "said.txt"
            killed = 0
            for _ in range(min(KILLS_PER_STORE, count)):
                driver = Driven(drive(made.folder, store), sentence)
                time.sleep(rng.uniform(0.02, made.seconds))
                driver.kill()
                killed += driver.code() == -signal.SIGKILL
            sentence.write_text("")
            ended, remark = verdict(
                made, store, Driven(drive(made.folder, store), sentence).code(), sentence.read_text()
            )
            for _ in range(killed):
                tally.add("SIGKILL", "a run", ended, remark)
            count -= killed


def damages(made: Prepared, each: int, rng: random.Random, tally: Tally, only: str | None = None) -> None:
    """Every kind of damage to every kind of file, `each` times; 0: one kind of damage, drawn, to every kind of file."""
    for file, (where, pattern) in FILES.items():
        if only not in (None, file) or where == "logged":
            continue
        for kind in KINDS if each else [rng.choice(KINDS)]:
            for _ in range(each if each and kind not in ("delete", "empty") else 1):
                with scratch(made) as folder:
                    store, sentence = folder / "store", folder / "said.txt"
                    shutil.copytree(made.store(where), store)
                    paths = sorted(path for path in store.glob(pattern) if path.is_file())
                    assert paths, f"no file of the kind {file!r} in the store {where!r}: {pattern}"
                    chosen = rng.choice(paths)
                    before = chosen.read_bytes()
                    spoil(chosen, kind, rng)
                    if file == "report":
                        tally.add(kind, file, *_reported(made, store, sentence, chosen, before))
                        continue
                    code = Driven(drive(made.folder, store), sentence).code()
                    ended, remark = verdict(made, store, code, sentence.read_text())
                    if ended == "survived" and chosen.exists() and chosen.read_bytes() == before and kind != "flip":
                        ended = "repeated"  # made again without a word, as a file that is missing is
                    tally.add(kind, file, ended, f"{chosen.name}: {remark}")


def _reported(made: Prepared, store: Path, sentence: Path, chosen: Path, before: bytes) -> tuple[str, str]:
    """`report` on a report with a damaged file."""
    code = Driven(run("report", "--store", str(store), "--reports", str(store / "reports")), sentence).code()
    if code or "Traceback" in sentence.read_text():
        return "differing", f"exit code {code}: {sentence.read_text()[-300:]}"
    now = report_of(store / "reports" / "chaos")
    if wrong := [name for name in {**now, **made.report} if now.get(name) != made.report.get(name)]:
        return "differing", ", ".join(wrong)
    return ("repeated" if chosen.exists() else "differing"), f"{chosen.name} is gone"


def databases(made: Prepared, each: int, rng: random.Random, tally: Tally) -> None:
    """Damage to MLflow's database, which is a view: `sync` makes it whole, and the results are as they were."""
    with scratch(made) as base:
        sentence = base / "said.txt"
        shutil.copytree(made.store("done"), base / "store")
        assert Driven(run("sync", "--store", str(base / "store")), sentence).code() == 0, sentence.read_text()
        for kind in KINDS:
            for _ in range(each):
                with scratch(made) as folder:
                    store, sentence = folder / "store", folder / "said.txt"
                    shutil.copytree(base / "store", store)
                    spoil(store / "mlflow.db", kind, rng)
                    code = Driven(run("sync", "--store", str(store)), sentence).code()
                    ended, remark = verdict(made, store, code, sentence.read_text())
                    tally.add(kind, "MLflow database", ended, remark)


def drivers(made: Prepared, count: int, rng: random.Random, tally: Tally) -> None:
    """Three drivers at once on one store, one of them killed; then once more to the end."""
    for _ in range(count):
        with scratch(made) as folder:
            store, sentence = folder / "store", [folder / f"said{number}.txt" for number in range(3)]
            started = [Driven(drive(made.folder, store), file) for file in sentence]
            time.sleep(rng.uniform(0.02, made.seconds))
            started[0].kill()
            codes = [driver.code() for driver in started][1:]
            text = "".join(file.read_text() for file in sentence[1:])
            ended, remark = verdict(made, store, max(map(abs, codes)), text)
            tally.add("several drivers", "a run", ended, remark)


def disks(made: Prepared, count: int, rng: random.Random, tally: Tally) -> None:
    """Disks of several sizes that are too small, limits on a file's size, and a finished store that is read-only."""
    needed = sum(path.stat().st_size for path in made.store("done").rglob("*") if path.is_file())
    for _ in range(count):
        limit = round(10 ** rng.uniform(3, 6))  # bytes; what a driver says goes into a file and has to find room

        def limited(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        with scratch(made) as folder:
            _full(made, folder / "store", folder / "said.txt", "limited file size", tally, before=limited)
    for _ in range(count):
        with scratch(made) as folder:
            disk = folder / "disk"
            if not _mounted(disk, round(rng.uniform(0.05, 0.95) * needed)):
                print("no tmpfs can be mounted here: full and read-only disks are left out")
                return
            try:
                _full(made, disk / "store", folder / "said.txt", "full disk", tally, after=lambda d=disk: _grown(d))  # type: ignore[misc]
            finally:
                subprocess.run(["umount", "-l", str(disk)], check=True)
    with scratch(made) as folder:
        disk, sentence = folder / "disk", folder / "said.txt"
        assert _mounted(disk, 4 * needed)
        try:
            shutil.copytree(made.store("done"), disk / "store")
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            where = ("--store", str(disk / "store"))
            report = ("--reports", str(folder / "reports"))
            command = ("run", str(made.folder / "chaos.yaml"), "--engine", "local", *where, *report)
            for arguments in (command, ("report", *where, *report), ("ls", "runs", *where)):
                sentence.write_text("")
                ended, remark = verdict(
                    made, disk / "store", Driven(run(*arguments), sentence).code(), sentence.read_text()
                )
                tally.add("read-only disk", f"`{arguments[0]}`", ended, remark)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def _full(
    made: Prepared,
    store: Path,
    sentence: Path,
    what: str,
    tally: Tally,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], object] = lambda: None,
) -> None:
    """One sentence and exit code 2 while there is no room; then the same command ends as if nothing had happened."""

    def work() -> None:
        before()
        drive(made.folder, store)()

    code = Driven(work, sentence).code()
    text = sentence.read_text()
    refused = code == 2 and "Traceback" not in text and text.count("cannot be written") == 1
    if code and not refused:
        tally.add(what, "a run", "differing", f"exit code {code}: {text.strip()[-300:]}")
        return
    after()
    sentence.write_text("")
    ended, remark = verdict(made, store, Driven(drive(made.folder, store), sentence).code(), sentence.read_text())
    tally.add(what, "a run", "refused" if refused and ended != "differing" else ended, remark)


def _mounted(disk: Path, size: int) -> bool:
    disk.mkdir()
    with suppress(OSError):
        return not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "chaos", str(disk)], capture_output=True
        ).returncode
    return False


def _grown(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
