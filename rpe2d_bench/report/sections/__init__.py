"""The sections of a report, in their order. A new one is a file here and a line below.

Another package adds its own, shown after these, by an entry point of the group `rpe2d_bench.report_sections` that names
a module with a literal dict SECTIONS, name -> build.
"""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.config.entry_points import Table
from rpe2d_bench.report.content import Content, Section, Text
from rpe2d_bench.report.sections import (
    classes,
    compute,
    cost,
    denoising,
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
SECTIONS: Table[Section] = Table(  # anchor -> section
    GROUP,
    "SECTIONS",
    "report section",
    {
        "answer": head.build,
        "results": results.build,
        "plane": plane.build,
        "denoising": denoising.build,
        "compute": compute.build,
        "stability": stability.build,
        "samples": samples.build,
        "classes": classes.build,
        "methods": methods.build,
        "encodings": encodings.build,
        "search": search.build,
        "training": training.build,
        "quality": quality.build,
        "cost": cost.build,
        "provenance": provenance.build,
    },
    lambda entry: None if callable(entry) else f"{entry!r} is no function build(results, store)",
)


def contents(run: Results, store: Path) -> dict[str, Content]:
    """Anchor -> what is shown there. Sections with nothing to show are left out, as are broken ones of other packages,
    which the last section names."""
    found, broken = {}, list(SECTIONS.left_out)
    for name, build in SECTIONS.items():
        try:
            found[name] = build(run, store)
            if not isinstance(found[name], Content):
                raise TypeError(f"it returns {type(found.pop(name)).__name__}, not rpe2d_bench.report.Content")
        except Exception as error:
            if build.__module__.startswith(f"{__name__}."):
                raise
            broken.append(f"report section {name!r} of {build.__module__}: {type(error).__name__}: {error}")
    found["left-out"] = Content("Sections that were left out", (Text(tuple(broken), "caution"),) if broken else ())
    return {name: content for name, content in found.items() if content.blocks}
