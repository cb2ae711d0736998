"""Files at an address: there whole or not at all, absent without an error, and not waited for without end."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from rpe2d_bench.storage import bucket as module
from rpe2d_bench.storage.bucket import Bucket


class Breaks(io.BytesIO):
    """Ends after its first piece."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise KeyboardInterrupt
        return super().read(4)


def test_a_file_is_whole_or_what_it_was(tmp_path: Path) -> None:
    bucket = Bucket(f"file://{tmp_path}/elsewhere/")
    for old in (None, b"old"):
        with pytest.raises(KeyboardInterrupt):
            bucket.put(Breaks(b"new and longer"), "folder/file")
        assert bucket.read("folder/file") == old
        assert list(bucket.files("")) == ([] if old is None else ["folder/file"])
        bucket.write("folder/file", b"old")
    size, changed = bucket.files("folder")["folder/file"]
    assert (size, changed) == (3, (tmp_path / "elsewhere/folder/file").stat().st_mtime_ns / 1e9)


def test_what_is_absent_is_no_error(tmp_path: Path) -> None:
    bucket = Bucket(f"file://{tmp_path}/elsewhere")
    assert bucket.read("a") is None
    assert not bucket.download("a", tmp_path / "here" / "a")
    assert not (tmp_path / "here" / "a").exists()
    assert bucket.files("folder") == {}
    bucket.remove("a")
    bucket.remove_folder("folder")
    bucket.write("folder/a", bytes(module._PIECE + 1))
    assert bucket.download("folder/a", tmp_path / "here" / "a")
    assert (tmp_path / "here" / "a").stat().st_size == module._PIECE + 1
    bucket.remove_folder("folder")
    assert bucket.read("folder/a") is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("gs://bucket/runs", "gs://bucket/runs?retry_limit_seconds=30"),
        ("gcs://bucket/runs?anonymous=true", "gcs://bucket/runs?anonymous=true&retry_limit_seconds=30"),
        ("gs://bucket/runs?retry_limit_seconds=5", "gs://bucket/runs?retry_limit_seconds=5"),
        ("s3://bucket/runs", "s3://bucket/runs"),
        ("abfs://container@account/runs", "abfs://container@account/runs?signature"),
    ],
)
def test_an_address_is_completed_by_patience_and_by_a_signature(
    address: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "?signature")
    assert module._complete(address) == expected
