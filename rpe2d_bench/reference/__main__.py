"""`python -m rpe2d_bench.reference docs` writes experiment.schema.json and experiment_file.md."""

from __future__ import annotations

import sys
from pathlib import Path

from rpe2d_bench.reference import experiment_page, json_schema


def write(folder: Path) -> None:
    """Write the schema and its page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / json_schema.SCHEMA_FILE).write_text(json_schema.text())
    (folder / json_schema.PAGE_FILE).write_text(experiment_page.page())


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
