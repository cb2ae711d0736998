"""A store in a bucket: whole or absent, continued and read by machines that share nothing else.

Longer than other files, because one object server and one set of stages serve all of its tests.
"""

from __future__ import annotations

import json
import pickle
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.object_server import google_server, object_server

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage import keeper, usage
from rpe2d_bench.storage.bucket import Bucket
from rpe2d_bench.storage.folder import folder_of_store
from rpe2d_bench.storage.keeper import Keeper
from rpe2d_bench.storage.mirror import Mirror
from rpe2d_bench.storage.store import Busy, Store, _seal
from rpe2d_bench.storage.unwritable import Unwritable

Machine = Callable[..., Store]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with object_server() as address:
        yield address


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    with google_server() as options:
        yield options


@pytest.fixture(params=["s3", "gs", "file"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A store as the machine of that name opens it, which shares its address with the other machines alone."""
    address = f"file://{tmp_path}/elsewhere"
    if request.param == "s3":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("server"))
        address = f"s3://bucket/{tmp_path.name}"
    if request.param == "gs":
        address = f"gs://anonymous@bucket/{tmp_path.name}?{request.getfixturevalue('google')}"

    def opened(name: str, *, wait: bool = True) -> Store:
        monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path / name))
        return Store(address, wait=wait)

    return opened


def write(folder: Path) -> None:
    (folder / "result.json").write_text("42")
    (folder / "weights.safetensors").write_bytes(bytes(100_000))


def never(_: Path) -> None:
    raise AssertionError("worked out twice")


def test_what_one_machine_made_another_does_not_make_again(machine: Machine) -> None:
    first, second = machine("a"), machine("b")
    assert first.root != second.root
    assert not second.has("train", "k")
    first.make("train", "k", write)
    second = machine("b")
    assert second.has("train", "k")
    assert (second.folder("train", "k") / "result.json").read_text() == "42"
    assert not (second.folder("train", "k") / "weights.safetensors").exists()  # nobody asked for it
    folder = second.make("train", "k", never)
    assert (folder / "weights.safetensors").read_bytes() == bytes(100_000)
    assert first.mirror is not None
    assert first.mirror.bucket.files("locks") == {}


def test_without_its_manifest_a_stage_is_not_there(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Bucket.write

    def killed(self: Bucket, path: str, content: bytes) -> None:
        if path.endswith("manifest.json"):
            raise KeyboardInterrupt
        put(self, path, content)

    first = machine("a")
    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            first.make("train", "k", write)
    other = machine("b")
    assert other.mirror is not None
    assert other.mirror.bucket.files("stages/train/k")  # the files are
    assert not other.has("train", "k")
    made: list[Path] = []
    other.make("train", "k", lambda folder: (made.append(folder), write(folder))[-1])
    assert made
    assert machine("a").make("train", "k", never).exists()  # what was finished here is still whole


def test_what_is_finished_here_alone_is_left_to_do_and_goes_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise Unwritable("the store can't be reached")

    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "push", cut_off)
        with pytest.raises(Unwritable):
            machine("a").make("train", "k", write)
    again = machine("a")
    assert not again.has("train", "k")  # or a run would record what no other machine finds
    again.make("train", "k", never)
    assert again.has("train", "k")
    assert machine("b").make("train", "k", never).exists()


def test_of_two_writers_of_a_key_the_last_counts_and_every_file_matches(machine: Machine) -> None:
    stores = [machine("a"), machine("b")]
    for number, store in enumerate(stores):  # as if the lease had been ignored, and the contents differed a little
        mine = store.partial("train", "k")
        mine.mkdir(parents=True)
        (mine / "result.json").write_text(str(number))
        _seal(mine)
        mine.rename(store._path("train", "k"))
    first, second = (store.mirror for store in stores)
    assert first is not None
    assert second is not None
    assert not second.has("train", "k")  # what it believes for a while
    first.push("train", "k", stores[0]._path("train", "k"))
    second.push("train", "k", stores[1]._path("train", "k"))
    third = machine("c")
    assert (third.make("train", "k", never) / "result.json").read_text() == "1"


def test_what_is_damaged_there_is_made_again(machine: Machine) -> None:
    store = machine("a")
    store.make("train", "k", write)
    assert store.mirror is not None
    bucket = store.mirror.bucket
    (path,) = [path for path in bucket.files("stages") if "weights" in path]
    bucket.write(path, b"other")
    made: list[str] = []
    other = machine("b")
    other.make("train", "k", lambda folder: (made.append("again"), write(folder))[-1])
    assert made == ["again"]
    assert (machine("c").make("train", "k", never) / "weights.safetensors").exists()


def test_another_machine_goes_on_from_the_last_checkpoint(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "TICK", 0.05)
    kept = threading.Event()
    keep = Keeper.keep

    def noted(self: Keeper) -> None:
        keep(self)
        if self._seen:
            kept.set()

    monkeypatch.setattr(Keeper, "keep", noted)

    def killed(folder: Path) -> None:
        (folder / "checkpoint.pt").write_text("half")
        assert kept.wait(30)
        monkeypatch.setattr(Keeper, "keep", lambda self: None)  # what a kill leaves no time for
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine("a").make("train", "k", killed)
    monkeypatch.setattr(Keeper, "keep", keep)
    seen = []

    def going_on(folder: Path) -> None:
        seen.append((folder / "checkpoint.pt").read_text())
        write(folder)

    other = machine("b")
    assert other.mirror is not None
    assert other.mirror.kept("train", "k")
    other.make("train", "k", going_on)
    assert seen == ["half"]
    assert not [path for path in other.mirror.bucket.files("stages") if ".partial" in path]


def test_a_lease_is_heeded_until_it_is_over(machine: Machine) -> None:
    first, second = machine("a", wait=False), machine("b", wait=False)
    assert first.mirror is not None

    def meanwhile(folder: Path) -> None:
        assert second.busy("train", "k")
        with pytest.raises(Busy):
            second.make("train", "k", never)
        write(folder)

    first.make("train", "k", meanwhile)
    late = {"holder": "somebody", "until": time.time() - 1}
    first.mirror.bucket.write("locks/train-l", json.dumps(late).encode())
    second.make("train", "l", write)


def test_a_lease_lasts_as_long_as_an_upload(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "TICK", 0.05)
    uploading, looked = threading.Event(), threading.Event()

    def slow(_: Keeper) -> None:
        uploading.set()
        assert looked.wait(60)

    monkeypatch.setattr(Keeper, "keep", slow)
    first, second = machine("a"), machine("b", wait=False)
    assert first.mirror is not None
    bucket = first.mirror.bucket

    def until() -> float:
        return float(json.loads(bucket.read("locks/train-k") or b"{}").get("until", 0))

    def long(folder: Path) -> None:
        try:
            assert uploading.wait(60)
            begun, patience = until(), time.monotonic() + 60
            while until() <= begun:
                assert time.monotonic() < patience, "the lease was not renewed"
            with pytest.raises(Busy):
                second.make("train", "k", write)
        finally:
            looked.set()
        write(folder)

    first.make("train", "k", long)


def test_what_a_checkpoint_speaks_of_is_there_before_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = Bucket.upload

    def meanwhile(self: Bucket, source: Path, path: str) -> None:
        upload(self, source, path)
        source.with_name("weights-2.safetensors").write_text("of step 2")
        source.with_name("after").write_text("step 2")  # as write_atomically does
        source.with_name("after").replace(source.with_name("checkpoint.pt"))

    def killed(folder: Path) -> None:
        for number in range(8):  # of which some come before the checkpoint in any order
            (folder / f"weights-1{number}.safetensors").write_text("earlier")
        (folder / "checkpoint.pt").write_text("step 1")
        monkeypatch.setattr(Bucket, "upload", meanwhile)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine("a").make("train", "k", killed)
    monkeypatch.setattr(Bucket, "upload", upload)
    found: list[str] = []

    def going_on(folder: Path) -> None:
        found.append((folder / "checkpoint.pt").read_text())
        found.extend(path.name for path in folder.glob("weights-2.safetensors"))
        write(folder)

    machine("b").make("train", "k", going_on)
    assert found in (["step 1"], ["step 2", "weights-2.safetensors"])


def test_nothing_that_is_worked_on_is_freed_there(machine: Machine) -> None:
    first = machine("a")
    assert first.mirror is not None
    for name in ("k", "k.0000000-0000064"):  # a stage, and a share of one
        first.mirror.bucket.write(f"stages/sample/{name}.partial/under_way.json", b"{}")

        def meanwhile(folder: Path) -> None:
            for store in (first, machine("b")):
                there = [item for item in usage.items(store) if item.elsewhere and item.kind == "sample"]
                assert [item.busy for item in there] == [True]
            write(folder)

        first.make("sample", name, meanwhile)
        usage.free(next(item for item in usage.items(machine("c")) if item.kind == "sample"))


def test_of_two_machines_that_take_a_lease_at_the_same_moment_one_works(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, both = Mirror._take, threading.Barrier(2)

    def together(self: Mirror, name: str) -> None:
        both.wait()  # both have seen that nobody has it
        take(self, name)
        both.wait()

    monkeypatch.setattr(Mirror, "_take", together)
    monkeypatch.setattr("rpe2d_bench.storage.mirror.SETTLED", 0.0)
    pair = [store.mirror for store in (machine("a"), machine("b"))]
    with ThreadPoolExecutor(2) as threads:
        won = list(threads.map(lambda mirror: mirror and mirror._won("train-k"), pair))
    assert sorted(map(bool, won)) == [False, True]


def test_a_store_that_is_sent_to_another_machine_has_its_own_copies_there(machine: Machine, tmp_path: Path) -> None:
    sent = pickle.dumps(machine("a"))
    machine("b")
    assert pickle.loads(sent).root.is_relative_to(tmp_path / "b")


def test_what_lies_there_is_listed_and_freed(machine: Machine) -> None:
    store = machine("a")
    store.make("train", "k", write)
    assert store.mirror is not None
    store.mirror.bucket.write("stages/sample/l.partial/under_way.npy", bytes(50))
    found = {(item.kind, item.state, item.elsewhere is not None): item for item in usage.items(store)}
    assert found["train", "finished", True].size > 100_000
    assert found["sample", "under way", True].size == 50
    assert found["copy", "finished", False].size > 100_000
    freed = [item for item, _ in usage.unneeded(list(found.values()), set(), time.time() + 60)]
    assert {item.kind for item in freed} == {"train", "sample", "copy"}
    assert all(usage.free(item) for item in freed)
    assert store.mirror.bucket.files("stages") == {}
    assert not machine("b").has("train", "k")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://nobody/runs", "there is no bucket 'nobody'"),
        ("s3://bucket/runs?nonsense=1", "nonsense"),
        ("nosuch://bucket/runs", "Unrecognized filesystem"),
        ("s3://key:secret@bucket/runs", "credentials do not belong"),
        ("abfs://bucket@account.dfs.core.windows.net/runs?sv=1&sig=secret", "credentials do not belong"),
        ("s3://bucket/runs?endpoint_override=127.0.0.1:9&scheme=http", "can't be reached"),
    ],
)
def test_what_cannot_work_is_one_sentence_soon(
    server: str, address: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    with pytest.raises(UserError, match=expected) as raised:
        Store(address).has("train", "k")
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_wrong_credentials_are_one_sentence(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPE2D_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    before = json.loads(_refusing_after(server, "0"))
    try:
        with pytest.raises(UserError, match="refuses access; give credentials"):
            Store("s3://bucket/runs").has("train", "k")
    finally:
        _refusing_after(server, str(before.get("PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT", "inf")))


def _refusing_after(server: str, requests: str) -> bytes:
    """Let the server look at credentials after so many requests."""
    url, plain = f"{server}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    answer: bytes = urllib.request.urlopen(urllib.request.Request(url, requests.encode(), plain, method="POST")).read()
    return answer


@pytest.mark.parametrize("machine", ["s3"], indirect=True)
def test_a_server_that_changes_what_it_is_given_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = machine("a")
    assert store.mirror is not None
    bucket = Bucket(store.mirror.address)
    monkeypatch.setattr(Bucket, "read", lambda *_: b"5\r\ntried\r\n0\r\nx-amz-checksum-crc64nvme:M3eFc\r\n\r\n")
    for _ in range(2):
        with pytest.raises(Unwritable, match="AWS_REQUEST_CHECKSUM_CALCULATION=when_required"):
            bucket.write("result.json", b"42")
    assert bucket.files("") == {}


def test_a_path_is_no_address() -> None:
    with pytest.raises(UserError, match="give it as text"):
        Store(Path("s3://bucket/runs"))
    assert folder_of_store("runs") == Path("runs")
    assert not Path("s3:").exists()
