"""The commands `show` and `check`: what a method really does, and whether it does what every method must."""

from __future__ import annotations

from pathlib import Path

import yaml
from rich.console import Console

from rpe2d_bench.errors import UserError


def show_method(
    method: str, grid: str, train_grid: str, t: float, head_width: int, options: list[str], figure: Path | None
) -> None:
    """Print the realised numbers of a method, and draw them if a figure is asked for."""
    from rpe2d_bench.encodings.describe import as_text, describe, parse_grid, spec_of, with_option

    spec = spec_of(method)
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UserError(f"--set {option}: write KEY=VALUE, for example --set theta=100")
        try:
            spec = with_option(spec, key, yaml.safe_load(value))
        except yaml.YAMLError:
            raise UserError(f"--set {option}: the value is not YAML") from None
    realised = describe(spec, parse_grid(grid), parse_grid(train_grid), t, head_width)
    console = Console()
    console.print(f"{method}: {spec}", highlight=False, markup=False, soft_wrap=True)
    console.print(as_text(realised), highlight=False, markup=False, soft_wrap=True)
    if figure is not None:
        from rpe2d_bench.report.realised import draw

        draw(method, realised, figure)
        console.print(f"figure: {figure}", highlight=False)


def check_method(target: str) -> bool:
    """Print every demand of the conformance suite on a method; whether all are kept."""
    from rpe2d_bench.encodings.conformance import check

    findings = check(target)
    console = Console()
    for finding in findings:
        mark = "[green]pass[/]" if finding.passed else "[red]FAIL[/]"
        console.print(mark, f"{finding.kind} {finding.method}: {finding.demand}", highlight=False)
        if finding.detail and not finding.passed:
            console.print(f"     {finding.detail}", highlight=False, markup=False)
    failed = sum(not finding.passed for finding in findings)
    console.print(f"{len(findings) - failed} of {len(findings)} demands kept", highlight=False)
    return not failed
