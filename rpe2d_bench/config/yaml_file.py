"""A YAML file that remembers its lines, so that an error can say where, and that no text can make slow or large.

Whatever the text, reading ends in data of bounded size or in one sentence: a file has a largest size, aliases count as
often as they are used, nesting has a largest depth, keys are text, numbers fit into 64 bits, and text is printable.

Longer than other files, because lines, overrides and bounds are kept by the same walk over the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rpe2d_bench.config.printable import named, shown, unprintable
from rpe2d_bench.errors import UserError

Location = tuple[str | int, ...]

MAX_BYTES = 64 * 1024  # the largest shipped experiment has 5 kB
MAX_VALUES = 20_000  # aliases counted as often as they are used
MAX_DEPTH = 50
MAX_INTEGER = 2**63  # what 64 bits hold
_CORE = "tag:yaml.org,2002:"
_TOO_DEEP = f"nested more than {MAX_DEPTH} deep; an experiment is nested less"
_TOO_MANY = f"more than {MAX_VALUES:,} values, aliases counted where they are used; an experiment has fewer"


class _Loader(yaml.SafeLoader):
    """Safe loader of plain data: text, numbers, truth values, null, lists and mappings, and merge keys.

    It gives up while it reads, where there is too much or too deep nesting, long before memory or time are gone.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.nodes, self.depth = self.nodes + 1, self.depth + 1
        if self.depth > MAX_DEPTH or self.nodes > 2 * MAX_VALUES:  # keys are nodes too
            raise _Refused(_TOO_DEEP if self.depth > MAX_DEPTH else _TOO_MANY, self.line + 1)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


# Dates stay text: no option is a date, and one that does not exist would end the reading.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _CORE + "timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PLAIN = {_CORE + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge", "value")}


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
            path, place = override.partition("=")[0].split("."), [str(part) for part in location]
            opened = next((n for n in range(len(place)) if location[: n + 1] not in self.lines), len(path)) + 1
            if (first := path[:opened]) == place[: len(first)]:  # its value, or a section that only it has
                return UserError(f"--set {override}: {message}")
        for length in range(len(location), -1, -1):
            if location[:length] in self.lines:
                return UserError(f"{self.path}:{self.lines[location[:length]]}: {message}")
        return UserError(f"{self.path}: {message}")

    def override(self, assignment: str) -> None:
        """Apply PATH.TO.KEY=VALUE, VALUE being YAML; sections that the file leaves out are opened."""
        dotted, equals, text = assignment.partition("=")
        if not equals or not dotted:
            raise UserError(f"--set {shown(assignment)}: write PATH.TO.KEY=VALUE, for example --set train.steps=500")
        if bad := unprintable(dotted):
            raise UserError(f"--set {shown(assignment)}: the key has {bad}; keys are printable text")
        value = parse_value(text, f"--set {shown(assignment)}")
        *parents, last = dotted.split(".")
        target: Any = self.data
        for depth, part in enumerate(parents):
            section = _step(target, part)
            if section is None and isinstance(target, dict):
                section = target[part] = {}
            target = section
            if not isinstance(target, dict | list):
                place = ".".join(parents[: depth + 1])
                raise UserError(f"--set {assignment}: there is no section {place!r} in {self.path}")
        if isinstance(target, list):
            if not _is_index(last, target):
                raise UserError(f"--set {assignment}: {'.'.join(parents)} has no entry {last}")
            target[int(last)] = value
        else:
            target[last] = value
        self.overrides.append(assignment)


@contextmanager
def at(document: Document | None, *location: str | int) -> Iterator[None]:
    """Gives file and line to whatever is found wrong inside, where there is a document."""
    try:
        yield
    except UserError as error:
        if document is None:
            raise
        raise document.error((*location, *getattr(error, "place", ())), str(error)) from None


def _step(target: Any, part: str) -> Any:
    if isinstance(target, list):
        return target[int(part)] if _is_index(part, target) else None
    return target.get(part)


def _is_index(part: str, target: list[Any]) -> bool:
    """Whether a part of a path names an entry of a list; never more digits than an index can have."""
    return part.isascii() and part.isdigit() and len(part) < 10 and int(part) < len(target)


def parse_value(text: str, place: str) -> Any:
    """The value of a YAML text given on the command line; raises UserError, opening with the place."""
    try:
        if len(text) > MAX_BYTES:
            raise _Refused(f"the value has more than {MAX_BYTES // 1024} kB", 0)
        return _parsed(text)[1]
    except yaml.YAMLError:
        raise UserError(f"{place}: the value is not YAML") from None
    except _Refused as refused:
        raise UserError(f"{place}: {refused.why}") from None


def read(path: Path) -> Document:
    """The mapping in a YAML file; raises UserError with the line of whatever cannot be read."""
    text = _text(path)
    try:
        node, data = _parsed(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{place}: broken YAML: {shown(str(error.problem))}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}:{line}: the text has {named(error.character)}, which YAML does not allow") from None
    except _Refused as refused:
        raise UserError(f"{path}:{refused.line}: {refused.why}") from None
    if node is None:
        raise UserError(f"{path}: the file is empty; rpe2d-bench new FILE --from quick writes one to start from")
    if not isinstance(data, dict):
        raise UserError(f"{path}:1: an experiment is a mapping (name: ..., models: ...), got {type(data).__name__}")
    document = Document(path, data)
    _collect(node, (), document.lines)
    return document


def _text(path: Path) -> str:
    """UTF-8 text of a file of bounded size, without a byte order mark."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UserError(f"{path}: has more than {MAX_BYTES // 1024} kB; an experiment is a short text")
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; rpe2d-bench ls experiments names what comes with the package") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: cannot be read: not UTF-8 text; save it as UTF-8") from None
    except ValueError:  # a path with a NUL
        raise UserError(f"{shown(str(path))}: is no path of a file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


class _Refused(Exception):
    """Well-formed YAML that is no plain data of bounded size."""

    def __init__(self, why: str, line: int) -> None:
        super().__init__(why)
        self.why, self.line = why, line


def _parsed(text: str) -> tuple[yaml.Node | None, Any]:
    """The tree of a text and its data; raises YAMLError or _Refused."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        _Checked().values_in(node, 0)
        return node, loader.construct_document(node)
    finally:
        loader.dispose()


class _Checked:
    """Sizes of the parts of a tree, each computed once; raises _Refused where the tree is no plain data."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, int]] = {}  # id of a node: values in it, levels below it
        self.open: set[int] = set()

    def values_in(self, node: yaml.Node, depth: int) -> tuple[int, int]:
        if id(node) in self.known:
            return self.known[id(node)]
        line = node.start_mark.line + 1
        if id(node) in self.open:
            raise _Refused("an anchor contains itself; write the part out", line)
        if node.tag not in _PLAIN:
            raise _Refused(f"the tag {shown(_short(node.tag))} is not taken; write plain text or numbers", line)
        self.open.add(id(node))
        values, levels = 1, 0
        for child in self.children(node):
            inner, below = self.values_in(child, depth + 1)
            values, levels = values + inner, max(levels, below + 1)
            if levels + depth > MAX_DEPTH:
                raise _Refused(_TOO_DEEP, line)
            if values > MAX_VALUES:
                raise _Refused(_TOO_MANY, line)
        self.open.discard(id(node))
        self.known[id(node)] = values, levels
        return values, levels

    def children(self, node: yaml.Node) -> Iterator[yaml.Node]:
        if isinstance(node, yaml.ScalarNode):
            _require_plain(node)
        elif isinstance(node, yaml.SequenceNode):
            yield from node.value
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                _require_key(key, seen)
                yield value


def _require_key(key: yaml.Node, seen: set[str]) -> None:
    line = key.start_mark.line + 1
    if not isinstance(key, yaml.ScalarNode):
        raise _Refused("a list or a mapping cannot be a key; keys are text", line)
    if bad := unprintable(key.value):
        raise _Refused(f"the key {shown(key.value)} has {bad}; keys are printable text", line)
    if key.tag not in (_CORE + "str", _CORE + "merge", _CORE + "value"):
        word = "a truth value" if key.tag == _CORE + "bool" else "null" if key.tag == _CORE + "null" else "a number"
        raise _Refused(f"the key {key.value} is {word} to YAML and keys are text; write '{key.value}' in quotes", line)
    if key.tag != _CORE + "merge" and key.value in seen:
        raise _Refused(f"broken YAML: the key {key.value!r} is written twice", line)
    seen.add(key.value)


def _require_plain(node: yaml.ScalarNode) -> None:
    """Printable text, and numbers of which arithmetic in 64 bits knows the value."""
    line = node.start_mark.line + 1
    if bad := unprintable(node.value):
        raise _Refused(f"the text {shown(node.value)} has {bad}; write printable text", line)
    if node.tag == _CORE + "int":
        digits = node.value.lstrip("+-").replace("_", "")
        if len(digits) > 70:
            raise _Refused(f"a number of {len(digits):,} digits does not fit into 64 bits", line)
        try:
            number = yaml.SafeLoader("").construct_yaml_int(node)
        except ValueError:
            raise _Refused(f"{shown(node.value)} is no number; write decimal digits", line) from None
        if not -MAX_INTEGER <= number < MAX_INTEGER:
            raise _Refused(f"{shown(node.value)} does not fit into 64 bits", line)
    elif node.tag == _CORE + "float":
        try:
            yaml.SafeLoader("").construct_yaml_float(node)
        except (ValueError, OverflowError):
            raise _Refused(f"{shown(node.value)} is no number; write decimal digits", line) from None
    elif node.tag == _CORE + "bool" and node.value.lower() not in yaml.SafeLoader.bool_values:
        raise _Refused(f"{shown(node.value)} is no truth value; write true or false", line)


def _short(tag: str) -> str:
    return tag.replace(_CORE, "!!")


def _collect(node: yaml.Node, location: Location, lines: dict[Location, int]) -> None:
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*location, key.value)] = key.start_mark.line + 1
            _collect(value, (*location, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect(value, (*location, index), lines)
