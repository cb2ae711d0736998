"""Whatever stands in an experiment file, reading it ends in bounded data or in one sentence, soon."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from rpe2d_bench.config import yaml_file
from rpe2d_bench.config.printable import printable
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolve.load import load_experiment

TEN = ",".join(["x"] * 10)
BOMB = f"a0: &a0 [{TEN}]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 10))
ODD: list[tuple[str, str | bytes, str]] = [
    ("anchors that multiply", BOMB, "more than 20,000 values"),
    ("merge keys that multiply", MERGES, "more than 20,000 values"),
    ("a list that contains itself", "a: &a [*a]", ":1: an anchor contains itself"),
    ("a mapping that contains itself", "a: 1\nb: &b {c: *b}", ":2: an anchor contains itself"),
    ("5,001 digits", "a: " + "1" * 5001, ":1: a number of 5,001 digits"),
    ("beyond 64 bits", "a: 18446744073709551616", "does not fit into 64 bits"),
    ("digits in hexadecimal", "a: 0x" + "f" * 100, "does not fit into 64 bits"),
    ("sexagesimal digits", "a: " + ":".join(["1"] * 300), "does not fit into 64 bits"),
    ("a date by tag", "a: !!timestamp 2024-13-45", "the tag !!timestamp is not taken"),
    ("an object", "a: !!python/object/apply:os.system [ls]", "is not taken"),
    ("bytes", "a: !!binary zzz", "the tag !!binary is not taken"),
    ("a wrong number by tag", "a: !!int abc", "abc is no number"),
    ("a list as key", "? [a, b]\n: 1", ":1: a list or a mapping cannot be a key"),
    ("a list as key in a line", "a: 1\nb: {[1, 2]: 3}", ":2: a list or a mapping cannot be a key"),
    ("a truth value as key", "yes: 1", "write 'yes' in quotes"),
    ("a number as key", "a: {1: 2}", "write '1' in quotes"),
    ("a key twice", "a: 1\nb: 1\na: 2", ":3: broken YAML: the key 'a' is written twice"),
    ("deep lists", "a: " + "[" * 10_000, "nested more than 50 deep"),
    ("deep lists that end", "a: " + "[" * 60 + "]" * 60, "nested more than 50 deep"),
    ("deep dashes", "- " * 20_000, "nested more than 50 deep"),
    ("deep mappings", "\n".join(" " * i + "a:" for i in range(300)), "nested more than 50 deep"),
    (
        "deep aliases",
        "a0: &a0 1\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 80)),
        "more than 50 deep",
    ),
    ("many values", "a: [" + "1," * 25_000 + "]", "more than 20,000 values"),
    ("a large file", "a: " + "x" * 70_000, "more than 64 kB"),
    ("a control character", "a: 1\nb: \x07", ":2: the text has the control character U+0007"),
    ("NUL", "a: \x00", "the control character U+0000"),
    ("an escaped control character", 'a: "\\u0007"', "the control character U+0007"),
    ("half of a surrogate pair", 'a: "\\uD800"', "half of a surrogate pair"),
    ("a line separator in a key", '"a\\u2028b": 1', "U+2028"),
    ("a next line in a key", '"a\\x85b": 1', "U+0085"),
    ("a text that turns around", "a\u202eb: 1", "the invisible character U+202E"),
    ("a tab", "a:\n\tb: 1", ":2: broken YAML"),
    ("two documents", "a: 1\n---\nb: 2", "broken YAML"),
    ("an unknown alias", "a: *b", "broken YAML"),
    ("UTF-16", "a: 1".encode("utf-16"), ":1: cannot be read: not UTF-8"),
    ("Latin 1", b"a: 1\nb: \xe9", ":2: cannot be read: not UTF-8"),
]


@pytest.mark.parametrize(("text", "output"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_odd_text_is_one_sentence_soon(tmp_path: Path, text: str | bytes, output: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    began = time.process_time()
    with pytest.raises(UserError) as raised:
        yaml_file.read(path)
    assert time.process_time() - began < 2
    message = str(raised.value)
    assert output in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert printable(message) == message
    assert len(message) < len(str(path)) + 200


def test_anchors_that_multiply_take_no_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMB)
    tracemalloc.start()
    with pytest.raises(UserError):
        yaml_file.read(tmp_path / "bomb.yaml")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6


def test_what_only_looks_odd_is_read(tmp_path: Path) -> None:
    """A byte order mark, Windows line ends, shared parts, merge keys, dates that are text."""
    path = tmp_path / "fine.yaml"
    path.write_bytes("\ufeffa: &a {x: 1}\r\nb: {<<: *a, y: 2}\r\nc: 2024-13-45\r\nd: café\r\n".encode())
    assert yaml_file.read(path).data == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": "2024-13-45", "d": "café"}


@pytest.mark.parametrize("name", ["[/red]", "$\\frac{", "=1+1", "a|b", "<b>", "_x", "-w", "ü 日本"])
def test_printable_names_are_taken(tiny: Path, name: str) -> None:
    text = tiny.read_text().replace("  ntk: {", f"  '{name}': {{").replace("reference_method: ntk", "")
    tiny.write_text(text)
    assert name in load_experiment(tiny).methods


@pytest.mark.parametrize("name", ["", " x", "x ", "x" * 101])
def test_other_names_are_refused_where_they_stand(tiny: Path, name: str) -> None:
    text = tiny.read_text().replace("  ntk: {", f"  '{name}': {{").replace("reference_method: ntk", "")
    tiny.write_text(text)
    line = 1 + text[: text.index(f"  '{name}': {{")].count("\n")
    with pytest.raises(UserError, match=rf"tiny.yaml:{line}: the name .* must be 1 to 100 printable characters"):
        load_experiment(tiny)
