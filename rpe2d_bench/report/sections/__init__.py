"""The sections of a report, in their order. A new one is a file here and a line below.

Packages add theirs, after these, by entry points of the group `rpe2d_bench.report_sections`: name = "package:build".
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.report.content import Content, Section, Text
from rpe2d_bench.report.sections import (
    compute,
    cost,
    encodings,
    head,
    methods,
    plane,
    provenance,
    quality,
    results,
    samples,
    search,
    stability,
    training,
)

GROUP = "rpe2d_bench.report_sections"
SECTIONS: dict[str, Section] = {  # anchor -> section
    "answer": head.build,
    "results": results.build,
    "plane": plane.build,
    "compute": compute.build,
    "stability": stability.build,
    "samples": samples.build,
    "methods": methods.build,
    "encodings": encodings.build,
    "search": search.build,
    "training": training.build,
    "quality": quality.build,
    "cost": cost.build,
    "provenance": provenance.build,
}


def contents(run: Results, store: Path) -> dict[str, Content]:
    """Anchor -> what is shown there; sections with nothing to show are left out, broken plug-ins named."""
    found = {name: build(run, store) for name, build in SECTIONS.items()} | dict(_plugged_in(run, store))
    return {name: content for name, content in found.items() if content.blocks}


def plug_ins() -> list[EntryPoint]:
    """The sections of other packages, by name."""
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _plugged_in(run: Results, store: Path) -> Iterator[tuple[str, Content]]:
    broken = []
    for point in plug_ins():
        try:
            content = _built(point, run, store)
        except Exception as error:  # whatever a stranger's code raises, the report is written
            broken.append(f"{point.name} ({point.value}): {type(error).__name__}: {error}")
        else:
            yield f"section-{point.name}", content
    yield "left-out", Content("Sections that were left out", (Text(tuple(broken), "caution"),) if broken else ())


def _built(point: EntryPoint, run: Results, store: Path) -> Content:
    content = point.load()(run, store)
    if not isinstance(content, Content):
        raise TypeError(f"build(results, store) gave {type(content).__name__}; return rpe2d_bench.report.Content")
    return content
