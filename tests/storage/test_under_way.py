"""What is under way when a process ends: damage to it is found, said, and changes no bit of the result.

Longer than other files, because every kind of state under way meets every kind of damage.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.planned import planned
from helpers.tiny_experiment import CONFIG

from rpe2d_bench.data import image_pool
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.digests import Damaged, open_with_digest, write_with_digest
from rpe2d_bench.storage.resumable_array import Parts
from rpe2d_bench.storage.store import Store
from rpe2d_bench.storage.unwritable import Unwritable

STEPS = ("train.steps=60", "train.precision=float32")


class Interrupted(Exception):
    pass


def context(plan: Plan, root: Path, output: list[str], at: int | None = None) -> RunContext:
    """RunContext whose progress ends a training at a step."""

    def progress(stage: str, key: str, done: int, total: int, facts: dict[str, Any]) -> None:
        if stage == "train" and at is not None and done >= at and "phase" not in facts:
            raise Interrupted

    return RunContext(Store(root), plan.experiment.resources, output.append, progress)


@pytest.fixture
def stopped(tiny: Path, tmp_path: Path) -> tuple[Plan, Path, bytes, list[Any]]:
    """A plan, a store with a training that was interrupted behind its checkpoint, and the result without that."""
    plan = planned(tiny, *STEPS)
    stage, output = plan.trials[0].stage, list[str]()
    whole = stage.make(context(plan, tmp_path / "whole", output))
    with pytest.raises(Interrupted):
        stage.make(context(plan, tmp_path / "stopped", output, at=50))
    partial = Store(tmp_path / "stopped").partial("train", stage.key)
    assert (partial / "checkpoint.pt").is_file()
    assert output == []
    return plan, partial, (whole / "weights.safetensors").read_bytes(), losses(whole)


def losses(folder: Path) -> list[Any]:
    lines = [json.loads(line) for line in (folder / "curve.jsonl").read_bytes().split(b"\n") if line]
    return [(line["step"], line["loss"]) for line in lines]


def test_a_bit_of_a_checkpoint_is_stated_and_changes_nothing(stopped: tuple[Plan, Path, bytes, list[Any]]) -> None:
    plan, partial, weights, curve = stopped
    file, rng = partial / "checkpoint.pt", random.Random(0)
    sound = file.read_bytes()
    for _ in range(30):  # wherever it is: found before anything is read
        damaged = bytearray(sound)
        damaged[rng.randrange(len(sound) - 100)] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(Damaged, match="does not match its digest"), open_with_digest(file):
            pass
    output: list[str] = []
    root = partial.parents[2]
    folder = plan.trials[0].stage.make(context(plan, root, output))
    assert [sentence.partition(": ")[2] for sentence in output] == [
        "checkpoint.pt does not match its digest; starting again"
    ]
    assert (folder / "weights.safetensors").read_bytes() == weights
    assert losses(folder) == curve


@pytest.mark.parametrize("damage", ["cut", "empty", "end", "none"])
def test_other_damage_to_a_checkpoint(stopped: tuple[Plan, Path, bytes, list[Any]], damage: str) -> None:
    plan, partial, weights, curve = stopped
    file = partial / "checkpoint.pt"
    sound = file.read_bytes()
    at_fault = {"cut": sound[: len(sound) // 2], "empty": b"", "end": sound[:-1] + b"x", "none": sound}[damage]
    file.write_bytes(at_fault)
    (partial / "curve.jsonl").write_bytes(b'{"step": 25, "loss": 0.0}\n\xff{"step": \n')  # the checkpoint holds it, too
    output: list[str] = []
    folder = plan.trials[0].stage.make(context(plan, partial.parents[2], output))
    assert (folder / "weights.safetensors").read_bytes() == weights
    assert losses(folder) == curve
    assert len(output) == (damage != "none")
    assert all("starting again" in sentence for sentence in output)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 1, 4, 4), dtype=np.uint8)


def begun(folder: Path, output: list[str]) -> Parts:
    return Parts(folder, (12, 1, 4, 4), 0.0, output.append)


def filled(folder: Path, until: int = 9) -> None:
    parts = begun(folder, [])
    for start in range(0, until, 3):
        parts.add(images(12)[start : start + 3])


def test_samples_under_way_go_on_from_the_last_that_are_whole(tmp_path: Path) -> None:
    filled(tmp_path)
    whole = (tmp_path / "under_way.npy").read_bytes()
    header = len(whole) - 12 * 16
    for place, done in ((0, 0), (47, 0), (48, 3), (100, 6), (143, 6), (144, 9), (191, 9)):
        damaged = bytearray(whole)
        damaged[header + place] ^= 1
        (tmp_path / "under_way.npy").write_bytes(damaged)
        output: list[str] = []
        parts = begun(tmp_path, output)
        assert parts.done == done
        assert output == ([f"images under way: {done} to {done + 2} do not match their digest; going on from {done}"]
                        if done < 9 else [])  # fmt: skip
        assert (parts.images[:done] == images(12)[:done]).all()


@pytest.mark.parametrize("name", ["under_way.json", "under_way.npy"])
@pytest.mark.parametrize("damage", ["cut", "empty", "garbage"])
def test_samples_under_way_start_again_where_nothing_vouches_for_them(tmp_path: Path, name: str, damage: str) -> None:
    filled(tmp_path)
    content = (tmp_path / name).read_bytes()
    spoilt = {"cut": content[:-20], "empty": b"", "garbage": random.Random(0).randbytes(len(content))}
    (tmp_path / name).write_bytes(spoilt[damage])
    output: list[str] = []
    parts = begun(tmp_path, output)
    assert parts.done == 0
    assert len(output) == 1
    assert "starting again" in output[0]


def test_a_digit_of_the_note_is_found(tmp_path: Path) -> None:
    filled(tmp_path)
    note = tmp_path / "under_way.json"
    note.write_text(note.read_text().replace("9,", "6,"))
    output: list[str] = []
    assert begun(tmp_path, output).done == 0
    assert output == ["images under way: under_way.json does not match its digest; starting again"]


def pool(folder: Path, between: Callable[[int, int], None] | None = None) -> np.ndarray:
    def make(start: int, stop: int) -> np.ndarray:
        return images(12)[start:stop]

    return image_pool.opened(image_pool.Array("pool", (1,), (12, 1, 4, 4), np.uint8, 4), make, folder, between)


@pytest.mark.parametrize("name", ["pictures.npy", "done.json"])
def test_a_pool_under_way_that_was_damaged_is_made_again(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 8:
            raise Interrupted

    with pytest.raises(Interrupted):
        pool(tmp_path, stop)
    (partial,) = tmp_path.glob("*.partial")
    content = bytearray((partial / name).read_bytes())
    content[-70 if name == "pictures.npy" else 1] ^= 1
    (partial / name).write_bytes(content)
    assert (pool(tmp_path) == images(12)).all()
    assert "does not match its checksum; starting it again" in caplog.text


def test_a_damaged_pool_is_stated_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool(tmp_path)
    (file,) = tmp_path.glob("pool-*/pictures.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert (pool(tmp_path) == images(12)).all()
    assert "does not match its checksum; making it again" in caplog.text


def _limited(limit: int, work: Callable[[], object]) -> int:
    """Exit code of a fork in which files can't grow beyond a limit: 2 for the sentence."""
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            work()
            code = 0
        except Unwritable as error:
            code = 2 if "File too large" in str(error) and "\n" not in str(error) else 3
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("limit", [0, 300, 4000, 40_000, 400_000])
def test_files_that_may_not_grow_are_one_sentence_and_the_same_command_goes_on(
    stopped: tuple[Plan, Path, bytes, list[Any]], limit: int
) -> None:
    plan, partial, weights, curve = stopped
    root, output = partial.parents[2], list[str]()
    stage = plan.trials[0].stage
    assert _limited(limit, lambda: stage.make(context(plan, root, output))) == 2
    assert not list(partial.glob(".checkpoint*"))
    folder = stage.make(context(plan, root, output))
    assert output == []  # what was under way before is whole
    assert (folder / "weights.safetensors").read_bytes() == weights
    assert losses(folder) == curve


def test_a_record_that_finds_no_room_leaves_the_others_alone(tmp_path: Path) -> None:
    from rpe2d_bench.storage import records
    from rpe2d_bench.storage.records import Record

    first = Record(stage="train", experiment="e", run="r", key="k", seed=1, config=CONFIG)
    records.append(tmp_path, first)
    before = (tmp_path / records.RECORDS_FILE).read_bytes()
    assert _limited(len(before) + 10, lambda: records.append(tmp_path, first)) == 2
    assert (tmp_path / records.RECORDS_FILE).read_bytes() == before
    assert records.read(tmp_path) == [first]


def test_half_written_files_of_a_killed_attempt_are_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    partial = store.partial("train", "k")
    partial.mkdir(parents=True)
    (partial / ".checkpoint.pt.1234").write_bytes(b"half")
    folder = store.make("train", "k", lambda place: (place / "result").write_text("1") and None)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "result"]


def test_a_file_carries_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_with_digest(path, lambda file: file.write(b"content") and None)
    with open_with_digest(path) as file:
        assert file.read() == b"content"
    path.write_bytes(b"content")
    with pytest.raises(Damaged, match="has no digest"), open_with_digest(path):
        pass
