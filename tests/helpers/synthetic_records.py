"""Synthetic records: invented numbers from a seeded generator, for tests only; they say nothing about any method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.storage.record_parts import Provenance
from rpe2d_bench.storage.records import Record

TESTS = [(16, 16), (24, 24), (32, 32), (48, 48), (64, 64), (32, 64), (64, 32)]
METHODS: dict[str, dict[str, Any]] = {
    "extrapolation": {"model": "rope"},
    "interpolation": {"model": "rope", "frequencies": {"kind": "interpolated"}},
    "ntk": {"model": "rope", "frequencies": {"kind": "ntk"}},
    "yarn": {"model": "rope", "frequencies": {"kind": "yarn"}, "logit_scale": {"kind": "yarn"}},
    "yarn_crops": {"model": "rope_crops", "frequencies": {"kind": "yarn"}},
    "rpe2d": {"model": "rpe2d"},
}
COST = {"extrapolation": 60.0, "interpolation": 12.0, "ntk": 9.0, "yarn": 6.0, "yarn_crops": 8.0, "rpe2d": 15.0}
RANDOM = {"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [16, 16]}}
REVISION = "glyphs-v1-0123456789abcdef"
ROPE = {"encoding": {"kind": "axial_rope"}}
MODELS: dict[str, dict[str, Any]] = {"rope": ROPE, "rope_crops": ROPE, "rpe2d": ROPE}


def experiment(seeds: list[int], tests: list[tuple[int, int]], methods: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": "synthetic",
        "seeds": seeds,
        "data": {"name": "glyphs"},
        "model": {"preset": "DiT-Mini/4"},
        "train": {"steps": 100},
        "models": MODELS,
        "methods": methods,
        "resolutions": [{"train": [32, 32], "test": [list(test) for test in tests]}],
        "evaluate": {"sampler": {"kind": "euler", "steps": 25, "guidance": 1.5}, "num_samples": 40},
        "report": {"main_metric": "kid", "reference_method": "yarn"},
    }


def make_records(
    store: Path | None = None,
    *,
    seeds: tuple[int, ...] = (0, 1, 2),
    tests: list[tuple[int, int]] | None = None,
    methods: dict[str, Any] | None = None,
    run: str = "run0",
    shift: float = 0.0,
) -> list[Record]:
    """Records of a complete run; with a store, samples and training curves are written below it."""
    tests, methods = tests or TESTS, methods or METHODS
    config = {"experiment": experiment(list(seeds), tests, methods)}
    made: list[Record] = []

    def add(key: str | None = None, **fields: Any) -> None:
        key = key or f"{len(made):016x}{run}"
        made.append(
            Record(
                experiment="synthetic", run=run, key=key, config=config, created=f"2026-01-01T00:{len(made) // 60:02d}:"
                f"{len(made) % 60:02d}+00:00", provenance=Provenance(commit="0" * 40, packages={"torch": "2.13"},
                python="3.11", platform="Linux x86_64", command="rpe2d-bench run synthetic.yaml"), **fields,
            )
        )  # fmt: skip

    for seed in seeds:
        rng = np.random.default_rng(seed)
        for model in MODELS:
            curve = f"stages/train/{model}{seed}/curve.jsonl"
            if store is not None:
                _write_curve(store / curve, rng)
            add(
                stage="train",
                model=model,
                train_resolution=(32, 32),
                seed=seed,
                artifacts={"curve": curve, "checkpoint": curve.replace("curve.jsonl", "weights.safetensors")},
                metrics={"loss": 0.2 + 0.01 * rng.random(), "validation_loss": 0.21, "images_per_second": 200.0},
                timings={"train": 900.0},
                training={
                    "data_revision": REVISION,
                    "parameters": 700_000,
                    "flops_per_step": 15e9,
                    "flops": 1.5e12,
                    "steps": 100,
                    "grid": (8, 8),
                    "head_width": 32,
                    "heads": 3,
                },
            )
        for test in tests:
            real = f"stages/reference/{test[0]}x{test[1]}/samples.npz"
            if store is not None:
                _write_samples(store / real, test, 0.0, seed)
            add(
                stage="floor",
                artifacts={"samples": real},
                test_resolution=test,
                seed=seed,
                num_samples=40,
                metrics={
                    "kid_glyphnet": 0.0002 * rng.random(),
                    "fd_glyphnet": 0.4 + 0.05 * rng.random(),
                    "fd_global_glyphnet": 0.3,
                    "fd_local_glyphnet": 0.9,
                    "accuracy_glyphjudge": 0.99,
                },
            )
            noise = rng.random()
            for name, spec in methods.items():
                far = abs(np.log2(test[0] / 32)) + abs(np.log2(test[1] / 32))
                value = 1.0 + COST.get(name, 20.0) * far + noise + (0.3 * rng.random() if far else 0.0) + shift
                samples = f"stages/sample/{name}-{test[0]}x{test[1]}-{seed}/samples.npz"
                if store is not None:
                    _write_samples(store / samples, test, value, seed)
                same = [other for other in methods if test == (32, 32) and methods[other]["model"] == spec["model"]]
                shared = f"{same[0]}-{seed}-{run}" if same else None
                add(shared, stage="measure", model=spec["model"], method=name, train_resolution=(32, 32),
                    test_resolution=test, seed=seed, num_samples=40, artifacts={"samples": samples},
                    metric_versions={"kid_glyphnet": "1"},
                    metrics={"kid_glyphnet": value / 1000, "fd_glyphnet": value,
                             "fd_global_glyphnet": value * (0.4 if name == "interpolation" else 0.8),
                             "fd_local_glyphnet": 1 + value * (1.5 if name == "interpolation" else 0.3),
                             "accuracy_glyphjudge": float(np.exp(-value / 60))},
                    timings={"sample": 20.0 * test[0] * test[1] / 1024, "measure": 1.5},
                    measurement={"data_revision": REVISION, "counts": {"generated": 40, "reference": 40}},
                    sampling={"sampler": {"kind": "euler", "steps": 25, "guidance": 1.5, "shift": 1.0},
                              "trained_encoding": RANDOM if spec["model"] == "rpe2d" else {"kind": "axial_rope"},
                              "replacements": {k: v for k, v in spec.items() if k != "model"},
                              "generated_resolution": test, "grid": (test[0] // 4, test[1] // 4),
                              "coincides_with": [other for other in same if other != name]})  # fmt: skip
    return made


def with_classifier(records: list[Record], store: Path) -> list[Record]:
    """The records with what a classifier saw of their samples: the next class, where class and seed leave no rest to 4.

    In real images it sees every class.
    """
    found = []
    for record in records:
        if record.stage in ("measure", "floor") and record.artifacts.samples:
            samples = store / record.artifacts.samples
            with np.load(samples) as stored:
                labels_N = stored["labels"]
            wrong_N = ((labels_N + record.seed) % 4 == 0) & (record.stage == "measure")
            logits_NK = np.eye(10, dtype=np.float32)[(labels_N + wrong_N) % 10]
            np.savez(samples.with_name("observations.npz"), **{"judge.logits": logits_NK})
            if record.stage == "floor":
                np.save(samples.with_name("labels.npy"), labels_N)
            else:
                observations = record.artifacts.samples.replace("samples.npz", "observations.npz")
                artifacts = record.artifacts.model_copy(update={"observations": observations})
                record = record.model_copy(update={"artifacts": artifacts})
        found.append(record)
    return found


def asking(record: Record, **parts: Any) -> Record:
    """The record as of an experiment in which these parts are others."""
    experiment = Experiment.model_validate(record.config.experiment.model_dump(mode="json") | parts)
    return record.model_copy(update={"config": record.config.model_copy(update={"experiment": experiment})})


def _write_curve(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"step": step, "loss": float(0.2 + np.exp(-step / 20) + 0.02 * rng.random()), "lr": 1e-3,
                    "images_per_second": 200.0, "grad_norm": 1.0})
        for step in range(1, 101)
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")


def _write_samples(path: Path, test: tuple[int, int], badness: float, seed: int) -> None:
    """Discs and bars that drown in noise as the invented number grows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = test
    rng = np.random.default_rng(seed)
    labels = np.arange(20) % 10
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    images = []
    for label in labels:
        disc = (np.hypot(y - 0.5, x - 0.5) < 0.15 + 0.03 * label) * 220.0
        images.append(np.clip(disc + rng.normal(0, 2 * badness, (height, width)), 0, 255))
    np.savez(path, **{"pictures": np.array(images).astype(np.uint8)[:, None], "labels": labels.astype(np.int64)})
