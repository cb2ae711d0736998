"""What an experiment is judged by was committed before the numbers of its published report were made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from helpers.synthetic_records import make_records

from rpe2d_bench.storage.records import lines_of, read

ROOT = Path(__file__).parents[2]
WRITTEN = "written before the first run"


def header(text: str) -> str:
    """The part of a file's first comment from `# Judged by:` to the next key; empty where nothing is promised."""
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith("# Judged by:")), len(lines))
    end = next((at for at in range(start + 1, len(lines)) if not lines[at].startswith("#    ")), len(lines))
    judged = " ".join(line.lstrip("# ") for line in lines[start:end])
    return judged if WRITTEN in judged else ""


def git(root: Path, *command: str) -> str:
    done = subprocess.run(["git", *command], cwd=root, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def after_the_fact(root: Path, name: str) -> str | None:
    """What contradicts the header of an experiment whose records are published in reports/NAME; None: nothing."""
    records, experiment = f"reports/{name}/records.jsonl", f"experiments/{name}.yaml"
    promised = header((root / experiment).read_text())
    added = git(root, "log", "--format=%H", "--diff-filter=A", "--", records).split()
    if not promised or not added:
        return None
    if header(git(root, "show", f"{added[-1]}^:{experiment}")) != promised:
        return f"{experiment} was not judged so before {records} was committed"
    made = {record.provenance.commit for record in read(root / records)}
    for commit in sorted(str(commit) for commit in made if commit):
        known = git(root, "cat-file", "-t", commit).strip() == "commit"
        if known and header(git(root, "show", f"{commit}:{experiment}")) != promised:
            return f"{experiment} was not judged so at {commit[:8]}, which made some of {records}"
    return None


def test_published_reports_are_judged_by_what_was_written_before() -> None:
    if git(ROOT, "rev-parse", "--is-shallow-repository").strip() != "false":
        pytest.skip("no git history, or a shallow one")
    found = [after_the_fact(ROOT, path.stem) for path in sorted((ROOT / "experiments").glob("*.yaml"))]
    assert [contradiction for contradiction in found if contradiction] == []


def test_what_is_planned_says_what_it_is_judged_by() -> None:
    planned = ("emoji_64", "emoji_64_samples", "emoji_64_fine", "clothing_64_small", "clothing_64_seeds")
    planned += ("inheritance_low_rate", "emoji_64_dit_s", "clothing_64")
    for name in planned:
        judged = header((ROOT / "experiments" / f"{name}.yaml").read_text())
        assert "Endpoint: " in judged, name
    family = ["emoji_64", "emoji_64_samples", "clothing_64_seeds"]
    assert all("Family: " in header((ROOT / "experiments" / f"{name}.yaml").read_text()) for name in family)


JUDGED = f"# Question: which?\n# Judged by: KID ({WRITTEN}).\n#           Endpoint: 96 px.\n# Run: it\nname: small\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    for key, value in (("user.name", "nobody"), ("user.email", "nobody@example.org"), ("commit.gpgsign", "false")):
        git(tmp_path, "config", key, value)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "reports" / "small").mkdir(parents=True)
    return tmp_path


def record_of(commit: str) -> str:
    """A line of records that this commit made."""
    record = make_records()[0]
    source = record.provenance.model_copy(update={"commit": commit})
    shared = record.configuration.model_copy(update={"provenance": source})
    return b"".join(lines_of([record.model_copy(update={"configuration": shared})])).decode()


def committed(root: Path, path: str, text: str) -> str:
    (root / path).write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", path)
    return git(root, "rev-parse", "HEAD").strip()


def test_a_header_before_the_records_is_fine_and_other_lines_may_change(repository: Path) -> None:
    commit = committed(repository, "experiments/small.yaml", JUDGED)
    assert after_the_fact(repository, "small") is None  # nothing is published yet
    committed(repository, "reports/small/records.jsonl", record_of(commit))
    assert after_the_fact(repository, "small") is None
    committed(repository, "experiments/small.yaml", JUDGED.replace("# Run: it", "# Expect: 0.3\n# Run: it"))
    assert after_the_fact(repository, "small") is None


def test_a_header_with_or_after_the_records_is_found(repository: Path) -> None:
    committed(repository, "experiments/small.yaml", "# Question: which?\nname: small\n")
    (repository / "experiments" / "small.yaml").write_text(JUDGED)
    committed(repository, "reports/small/records.jsonl", "")
    assert "before reports/small/records.jsonl was committed" in str(after_the_fact(repository, "small"))


def test_an_endpoint_that_moved_is_found(repository: Path) -> None:
    committed(repository, "experiments/small.yaml", JUDGED)
    committed(repository, "reports/small/records.jsonl", "")
    committed(repository, "experiments/small.yaml", JUDGED.replace("96 px", "128 px"))
    assert after_the_fact(repository, "small") is not None


def test_records_made_before_the_header_are_found(repository: Path) -> None:
    early = committed(repository, "experiments/small.yaml", "# Question: which?\nname: small\n")
    committed(repository, "experiments/small.yaml", JUDGED)
    committed(repository, "reports/small/records.jsonl", record_of(early))
    assert f"at {early[:8]}, which made some" in str(after_the_fact(repository, "small"))
