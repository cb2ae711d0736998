"""The commands `show` and `check`: what a name means, what a method really does, and whether it does what it must."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rpe2d_bench.cli.console import put_line
from rpe2d_bench.cli.explain import Explanation, explain
from rpe2d_bench.config.printable import shown
from rpe2d_bench.config.yaml_file import parse_value
from rpe2d_bench.errors import UserError

if TYPE_CHECKING:
    from rpe2d_bench.encodings.describe import Realised


def known(
    name: str, grid: str | None, train_grid: str | None, t: float, head_width: int, options: list[str], store: Path
) -> tuple[list[Explanation], Realised | None]:
    """What a name means; for a method also its realised numbers."""
    meanings = explain(name, store)
    for meaning in meanings:
        if meaning.encoding is not None:
            at = (grid or meaning.grids[0], train_grid or meaning.grids[1])
            return meanings, _realised(name, meaning.encoding, *at, t, head_width, options)
    if options:
        raise UserError(f"--set changes methods; {name} is of the kind {meanings[0].kind!r}")
    return meanings, None


def as_dict(meanings: list[Explanation], realised: Realised | None) -> dict[str, Any]:
    """What is known, as JSON."""
    numbers = {"realised": dataclasses.asdict(realised)} if realised else {}
    return {"meanings": [meaning.as_dict() for meaning in meanings]} | numbers


def show(meanings: list[Explanation], realised: Realised | None) -> None:
    """The same for people."""
    console = Console()
    for meaning in meanings:
        _print(meaning, console)
    if realised is not None:
        from rpe2d_bench.encodings.describe import as_text

        put_line(console, as_text(realised))


def _realised(
    name: str, spec: dict[str, Any], grid: str, train_grid: str, t: float, head_width: int, options: list[str]
) -> Realised:
    from rpe2d_bench.encodings import EncodingSpec
    from rpe2d_bench.encodings.describe import describe, parse_grid, require_time, with_option
    from rpe2d_bench.encodings.spec import in_one_sentence

    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UserError(f"--set {option}: write KEY=VALUE, for example --set theta=100")
        spec = with_option(spec, key, parse_value(value, f"--set {shown(option)}"))
    with in_one_sentence(name):
        return describe(EncodingSpec.parse(spec), parse_grid(grid), parse_grid(train_grid), require_time(t), head_width)


def _print(meaning: Explanation, console: Console) -> None:
    console.print(Text(f"{meaning.name} ({meaning.kind})", style="bold"))
    console.print(Text(meaning.what))
    facts = Table.grid(padding=(0, 2, 0, 0))
    for name, value in meaning.facts.items():
        facts.add_row(Text(f"  {name}"), Text(value))
    console.print(facts)
    if meaning.options:
        shown = [key for key in ("name", "value", "default", "what") if any(row[key] for row in meaning.options)]
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
        for key in shown:
            table.add_column({"name": "  option" if "value" in shown else "  field"}.get(key, key), overflow="fold")
        for row in meaning.options:
            table.add_row(*(Text(("  " if key == "name" else "") + row[key]) for key in shown))
        console.print(table)
    console.print()


def check_method(target: str) -> bool:
    """Print every demand of the conformance suite on a method; whether all are kept."""
    from rpe2d_bench.encodings.conformance.suite import check

    findings = check(target)
    console = Console()
    for finding in findings:
        mark = "[green]pass[/]" if finding.passed else "[red]FAIL[/]"
        console.print(mark, escape(f"{finding.kind} {finding.method}: {finding.demand}"), highlight=False)
        if finding.detail and not finding.passed:
            console.print(f"     {finding.detail}", highlight=False, markup=False)
    failed = sum(not finding.passed for finding in findings)
    console.print(f"{len(findings) - failed} of {len(findings)} demands kept", highlight=False)
    return not failed
