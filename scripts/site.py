"""What the documentation's site adds to docs/: pages of the repository's root, published reports, and the Python names.

A hook of MkDocs (mkdocs.yml). Links keep the form that a reader of the repository needs; here they are turned so that
they lead to the same file within the site.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = (  # of docs/, what the site shows or lets download where a page links to it
    *("*.md", "CITATION.cff", "LICENSE", "baselines/*", "experiments/**/*", "benchmarks/**/*", "scripts/*.py"),
    *("deploy/*", "rpe2d_bench/**/*.py", "tests/**/*.py", "reports/*/*", "reports/*/figures/*"),
)
MODULES = ("rpe2d_bench", "rpe2d_bench.encodings")
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: Any) -> Files:
    """Adds README.md as the first page, the files of OUTSIDE that are linked to, and the page of Python names."""
    wanted = {path for page in _pages(files) for path in _links(page)}
    wanted |= {"CONTRIBUTING.md", "LOG.md", "CHANGELOG.md", "baselines/README.md"}
    while more := {path for name in wanted if name.endswith(".md") for path in _links(ROOT / name)} - wanted:
        wanted |= more
    outside = {
        path.relative_to(ROOT).as_posix() for pattern in OUTSIDE for path in ROOT.glob(pattern) if path.is_file()
    }
    for path in sorted(wanted & outside):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, "index.md", abs_src_path=str(ROOT / "README.md")))
    files.append(File.generated(config, "api.md", content=_api()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turns links between files of the repository into links within the site; others become plain code."""
    source = _in_repository(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        target = match[2]
        if ":" in target:
            return match[0]
        place = _in_site(posixpath.normpath(posixpath.join(posixpath.dirname(source), target)))
        return (
            match[1] + os.path.relpath(place, posixpath.dirname(page.file.src_uri) or ".") + (match[3] or "") + match[4]
        )

    return LINK.sub(turned, markdown)


def _pages(files: Files) -> list[Path]:
    return [ROOT / "README.md", *(Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path)]


def _links(page: Path) -> set[str]:
    """Paths in the repository that a page links to."""
    targets = (match[2] for match in LINK.finditer(page.read_text()))
    return {os.path.relpath(page.parent / target, ROOT) for target in targets if ":" not in target}


def _in_repository(uri: str) -> str:
    if uri == "index.md":
        return "README.md"
    return f"docs/{uri}" if (ROOT / "docs" / uri).exists() else uri


def _in_site(path: str) -> str:
    if path in ("README.md", "docs/README.md"):
        return "index.md"
    return path.removeprefix("docs/")


def _api() -> str:
    """A page with every public name of `rpe2d_bench` and `rpe2d_bench.encodings`."""
    from importlib import import_module

    lines = [
        "# Python",
        "",
        "What `rpe2d_bench` and `rpe2d_bench.encodings` promise to keep; other modules may change.",
    ]
    seen: set[str] = set()
    for name in MODULES:
        module = import_module(name)
        for public in module.__all__:
            thing = getattr(module, public)
            home = f"{thing.__module__}.{thing.__name__}" if hasattr(thing, "__name__") else f"{name}.{public}"
            if public in seen:
                continue
            seen.add(public)
            lines += ["", f"::: {home}"]
    return "\n".join(lines) + "\n"
