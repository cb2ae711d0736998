"""A YAML file that remembers its lines, so that an error can say where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rpe2d_bench.errors import UserError

Location = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Safe loader that refuses a key written twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is written twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


@dataclass
class Document:
    """Data of a YAML mapping, and the line of each of its places."""

    path: Path
    data: dict[str, Any]
    lines: dict[Location, int] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)

    def error(self, location: Location, message: str) -> UserError:
        """The message with the file and the line of the nearest known place."""
        for override in self.overrides:
            if override.partition("=")[0] == ".".join(map(str, location[: override.count(".") + 1])):
                return UserError(f"--set {override}: {message}")
        for length in range(len(location), -1, -1):
            if location[:length] in self.lines:
                return UserError(f"{self.path}:{self.lines[location[:length]]}: {message}")
        return UserError(f"{self.path}: {message}")

    def override(self, assignment: str) -> None:
        """Apply PATH.TO.KEY=VALUE, VALUE being YAML; the key may be new, what leads to it must exist."""
        dotted, equals, text = assignment.partition("=")
        if not equals or not dotted:
            raise UserError(f"--set {assignment}: write PATH.TO.KEY=VALUE, for example --set train.steps=500")
        try:
            value = yaml.load(text, _Loader)
        except yaml.YAMLError:
            raise UserError(f"--set {assignment}: the value is not YAML") from None
        *parents, last = dotted.split(".")
        target: Any = self.data
        for depth, part in enumerate(parents):
            target = _step(target, part)
            if not isinstance(target, dict | list):
                place = ".".join(parents[: depth + 1])
                raise UserError(f"--set {assignment}: there is no section {place!r} in {self.path}")
        if isinstance(target, list):
            if not (last.isdigit() and int(last) < len(target)):
                raise UserError(f"--set {assignment}: {'.'.join(parents)} has no entry {last}")
            target[int(last)] = value
        else:
            target[last] = value
        self.overrides.append(assignment)


def _step(target: Any, part: str) -> Any:
    if isinstance(target, list):
        return target[int(part)] if part.isdigit() and int(part) < len(target) else None
    return target.get(part)


def read(path: Path) -> Document:
    """The mapping in a YAML file; raises UserError with the line of a syntax error."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; experiments lie in experiments/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    try:
        node = yaml.compose(text, _Loader)
        data = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{place}: broken YAML: {error.problem}") from None
    if node is None:
        raise UserError(f"{path}: the file is empty; copy one of experiments/*.yaml to start from")
    if not isinstance(data, dict):
        raise UserError(f"{path}:1: an experiment is a mapping (name: ..., models: ...), got {type(data).__name__}")
    document = Document(path, data)
    _collect(node, (), document.lines)
    return document


def _collect(node: yaml.Node, location: Location, lines: dict[Location, int]) -> None:
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*location, key.value)] = key.start_mark.line + 1
            _collect(value, (*location, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect(value, (*location, index), lines)
