"""Lines of a records file that hold what all records of a command share; records of version 3 name them.

An experiment of 50 methods is 20 KB, its results 3 KB a cell. `record_lines.COPIES` lines hold the same, so that no one
damaged line costs more than itself. Records of versions 1 and 2 each hold their own.
"""

from __future__ import annotations

import json
from typing import Any

from rpe2d_bench.storage import record_lines
from rpe2d_bench.storage.files import sha256_of_json
from rpe2d_bench.storage.record_parts import Configuration

STAGE = "configuration"  # what such a line has where a record has its stage
ABOUT = ("schema_version", "stage", "experiment", "run")  # beside the name, for whoever reads lines one by one
ABSENT = "names a configuration that no line of the file holds"


class Absent(Exception):
    """A record names a configuration that is not in the file."""


def line_of(configuration: Configuration, experiment: str, run: str) -> tuple[str, bytes]:
    """The name of a configuration, which follows from all that it says, and its line."""
    about = dict(zip(ABOUT, (3, STAGE, experiment, run), strict=True))
    document = about | configuration.model_dump(mode="json")
    name = sha256_of_json(document)[:32]
    return name, record_lines.line_of(document | {"configuration": name})


def is_one(document: dict[str, Any]) -> bool:
    """Whether a line is of a configuration."""
    return document.get("stage") == STAGE


class Configurations:
    """Those of a file: named ones by their lines, and those that records hold themselves, equal ones once."""

    def __init__(self) -> None:
        self._named: dict[str, Configuration] = {}
        self._held: dict[str, Configuration] = {}

    def add(self, document: dict[str, Any]) -> None:
        """A line of a configuration. Raises ValueError and KeyError where it is none of this version."""
        if document["configuration"] not in self._named:
            parts = {name: part for name, part in document.items() if name not in (*ABOUT, "configuration")}
            self._named[document["configuration"]] = Configuration.model_validate(parts)

    def of(self, document: dict[str, Any]) -> tuple[Configuration, dict[str, Any]]:
        """The configuration of a record, and what else the record says.

        Raises Absent, and ValueError where what the record holds itself is none.
        """
        rest = {name: value for name, value in document.items() if name not in Configuration.model_fields}
        named = rest.pop("configuration", None)
        if isinstance(named, str):
            if named not in self._named:
                raise Absent(ABSENT)
            return self._named[named], rest
        held = named or {name: document[name] for name in Configuration.model_fields if name in document}
        text = json.dumps(held)
        if text not in self._held:
            self._held[text] = Configuration.model_validate(held)
        return self._held[text], rest
