"""Tables that other packages add to: complete, read-only, unambiguous, and undisturbed by what is broken."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.installed import plug_in

from rpe2d_bench.config import entry_points
from rpe2d_bench.config.entry_points import Table
from rpe2d_bench.errors import UserError

GROUP = "rpe2d_bench_tests.things"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts modules, name -> source, on the path as an installer would, each under the group."""
    entry_points.modules.cache_clear()

    def put(**sources: str) -> None:
        for name, source in sources.items():
            plug_in(tmp_path, GROUP, name, source)
        monkeypatch.syspath_prepend(tmp_path)

    yield put
    entry_points.modules.cache_clear()


def things(**options: bool) -> Table[int]:
    def complaint(entry: object) -> str | None:
        return None if isinstance(entry, int) else f"{entry!r} is no whole number"

    return Table(GROUP, "THINGS", "thing", {"one": 1}, complaint, **options)


def test_entries_of_other_packages_stand_beside_our_own(install: Install) -> None:
    install(plugged_two="THINGS = {'two': 2}")
    assert dict(things()) == {"one": 1, "two": 2}
    with pytest.raises(UserError, match="did you mean 'two'"):
        things()["twoo"]
    with pytest.raises(TypeError):
        things()["three"] = 3  # type: ignore[index]


def test_a_module_that_cannot_be_imported_is_named_once_and_left_out(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(plugged_broken="import no_such_module", plugged_good="THINGS = {'two': 2}")
    assert set(things()) == set(things()) == {"one", "two"}
    (sentence,) = caplog.messages
    assert "'plugged_broken'" in sentence
    assert "no_such_module" in sentence


def test_an_entry_that_cannot_be_used_is_named_and_left_out(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install(plugged_odd="THINGS = {'two': 2, 'odd': 'text'}")
    assert dict(things()) == {"one": 1, "two": 2}
    assert "'odd' of plugged_odd cannot be used: 'text' is no whole number" in caplog.text
    with pytest.raises(UserError, match="'text' is no whole number"):
        things()["odd"]


def test_a_module_without_its_table_is_named(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install(plugged_empty="THING = {'two': 2}")
    assert dict(things(shared=True)) == {"one": 1}
    assert not caplog.messages
    assert dict(things()) == {"one": 1}
    assert "plugged_empty" in caplog.text


def test_a_name_claimed_twice_is_refused_and_disturbs_no_other(install: Install) -> None:
    install(plugged_taken="THINGS = {'one': 11, 'two': 2}")
    assert dict(things()) == {"two": 2}
    with pytest.raises(UserError, match="thing 'one' is defined by both rpe2d_bench and plugged_taken"):
        things()["one"]


def test_a_package_that_is_not_installed_says_so_instead_of_not_knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_points, "OWN", "rpe2d-bench-that-nobody-installed")
    assert things()["one"] == 1
    with pytest.raises(UserError, match=r"unknown thing 'two': .* without being installed.*pip install --no-deps"):
        things()["two"]
