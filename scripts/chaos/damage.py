"""Every kind of damage to every kind of file of a store."""

from __future__ import annotations

import random
from pathlib import Path

KINDS = ("flip", "cut", "delete", "empty", "garbage")

# Kind of file -> where: which of the prepared stores, and a pattern below it.
FILES = {
    "weights": ("done", "stages/train/*/weights.safetensors"),
    "curve": ("done", "stages/train/*/curve.jsonl"),
    "samples": ("done", "stages/sample/*/samples.npz"),
    "observations": ("done", "stages/*/*/observations.npz"),
    "labels of real images": ("done", "stages/reference/*/labels.npy"),
    "result.json": ("done", "stages/*/*/result.json"),
    "manifest.json": ("done", "stages/*/*/manifest.json"),
    "checkpoint.pt under way": ("training", "stages/train/*.partial/checkpoint.pt"),
    "curve under way": ("training", "stages/train/*.partial/curve.jsonl"),
    "samples under way": ("sampling", "stages/sample/*.partial/under_way.npy"),
    "their note": ("sampling", "stages/sample/*.partial/under_way.json"),
    "records.jsonl": ("done", "records.jsonl"),
    "comparison": ("done", "comparisons/*.json"),
    "training pool": ("training", "cache/*/pictures.npy"),
    "its checksum": ("training", "cache/*/checksum.json"),
    "pool under way": ("pooling", "cache/*.partial/pictures.npy"),
    "its note": ("pooling", "cache/*.partial/done.json"),
    "progress": ("training", "progress/*.json"),
    "notices": ("done", "progress/notices.log"),
    "report": ("done", "reports/chaos/*.*"),
    "MLflow database": ("logged", "mlflow.db"),
}


def spoil(path: Path, kind: str, rng: random.Random) -> None:
    """Do that damage to a file."""
    content = bytearray(path.read_bytes())
    if kind == "delete":
        path.unlink()
        return
    if kind == "flip" and content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "cut" and content:
        del content[rng.randrange(len(content)) :]
    elif kind == "garbage":
        content = bytearray(rng.randbytes(max(1, len(content))))
    elif kind == "empty":
        content.clear()
    path.write_bytes(content)
