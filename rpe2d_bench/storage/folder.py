"""What names a store: a folder, or an address such as s3://bucket/runs, whose copies lie in a folder of this machine.

Light to import: what reaches an address is in `bucket.py` and `mirror.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.unwritable import way_to

CACHE = "RPE2D_BENCH_CACHE"  # environment variable: the folder below which copies lie
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # whose value decides what an s3 address means
_NOTE = "address.json"  # in a folder of copies


@dataclass(frozen=True)
class Copies:
    """A folder of this machine that holds copies of a store elsewhere."""

    folder: Path
    address: str
    holder: str  # identity of this folder, which tells others whose work something is


def folder_of_store(name: str | Path) -> Path:
    """The folder that a store's name means: of an address that of its copies, which is made where it is absent.

    Raises UserError for an address that holds credentials, and where a file stands or the folder can't be made.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", str(name))
    if scheme is None:
        if not (there := way_to(Path(name))).is_dir():
            raise UserError(f"the store {name}: {there} is a file; name a folder")
        return Path(name)
    if isinstance(name, Path):
        raise UserError(f"the store {name}: a Path holds no address; give it as text, such as 's3://bucket/runs'")
    address, _, options = name.partition("?")
    if re.search("//[^/]*:[^/]*@", address) or re.search("(access|secret)_key|(^|&)(sig|client_secret)=", options):
        raise UserError(
            f"the store {address.rpartition('@')[2]}: credentials do not belong into an address; set AWS_ACCESS_KEY_ID"
            " and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for Azure AZURE_STORAGE_SAS_TOKEN"
        )
    name = address.rstrip("/") + (f"?{options}" if options else "")
    endpoint = next((os.environ[each] for each in ENDPOINTS if os.environ.get(each)), "")
    digest = hashlib.sha256(f"{name} {endpoint if scheme[1] == 's3' else ''}".encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", address.rstrip("/"))[-80:]
    root = Path(os.environ.get(CACHE) or Path.home() / ".cache" / "rpe2d-bench")
    folder = (root / f"{readable}-{digest}").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if copies_in(folder) is None:
            temporary = folder / f".{_NOTE}.{uuid.uuid4().hex}"
            temporary.write_text(json.dumps({"address": name, "holder": uuid.uuid4().hex[:12]}))
            temporary.replace(folder / _NOTE)
    except OSError as error:
        raise UserError(
            f"the store {name}: its copies can't lie in {folder} ({os.strerror(error.errno or 0)}); name another folder"
            f" in {CACHE}"
        ) from error
    return folder


def name_of(folder: Path) -> str:
    """What its user calls a store: the address whose copies lie in the folder, or the folder itself."""
    copies = copies_in(folder)
    return copies.address if copies else str(folder)


def copies_in(folder: Path) -> Copies | None:
    """Of which store a folder holds copies; None for a store that is the folder itself."""
    try:
        found = json.loads((folder / _NOTE).read_bytes())
        return Copies(folder, found["address"], found["holder"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / _NOTE} can't be read; remove it and name the store by its address") from error
