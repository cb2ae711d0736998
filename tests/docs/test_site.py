"""The documentation builds as a site: every link and anchor holds, every public name has its entry."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import rpe2d_bench
from rpe2d_bench import encodings

ROOT = Path(__file__).parents[2]


def test_the_site_builds_without_a_warning_and_asks_no_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stderr
    api = (tmp_path / "api.html").read_text()
    classes = {name for name in (*rpe2d_bench.__all__, *encodings.__all__) if not name.isupper()}
    missing = {name for name in classes if not re.search(rf'id="rpe2d_bench\.[\w.]*\b{name}"', api)}
    assert not missing
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img)\b[^>]*?(?:src|href)="(https?://[^"]+)"', page.read_text())
        assert not [url for url in loaded if "canonical" not in url], page
