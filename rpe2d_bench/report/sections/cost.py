"""What training and sampling cost, as measured when they really ran."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from rpe2d_bench.analysis.results import Results, as_resolution
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.report.content import Content, Text
from rpe2d_bench.report.table import ABSENT, Table, count, duration, number, plain
from rpe2d_bench.storage.records import Resolution

TRAINING = (
    "model", "resolution", "parameters", "starts from", "FLOPs per step", "steps", "FLOPs with the stages before",
    "time", "images per second", "seeds",
)  # fmt: skip
WALL_CLOCK = (
    "Wall clock, with whatever else ran on the machine at that time: small differences between methods are not theirs."
    " Methods that coincide share one measurement."
)


def build(results: Results, store: Path) -> Content:
    """Of trainings, and of sampling by test resolution."""
    tables = [table for table in (training_cost(results), sampling_cost(results)) if table]
    return Content("Cost", tuple(tables) or (Text("Nothing finished in the records.", "missing"),))


def training_flops(results: Results, method: str, train: Resolution) -> float | None:
    """FLOPs of the model of a method with all stages before it, mean over seeds; None where they were not kept."""
    model = results.methods[method].get("model")
    found = [
        float(record.details.get("flops", record.details["steps"] * record.details["flops_per_step"]))
        for record in results.find("train", model=model, train_resolution=train, status="ok")
        if "flops_per_step" in record.details
    ]
    return fmean(found) if found else None


def milliseconds(results: Results, method: str, train: Resolution | None, test: Resolution) -> float | None:
    """Of sampling one image, mean over seeds (and train resolutions, without one); None where it was not timed."""
    found = [
        1000 * record.timings["sample"] / record.num_samples
        for record in results.find("measure", method=method, test_resolution=test, status="ok")
        if record.num_samples and "sample" in record.timings and train in (None, record.train_resolution)
    ]
    return fmean(found) if found else None


def training_cost(results: Results) -> Table | None:
    """A row per trained model, also those that others start from; None where nothing was trained."""
    rows = []
    trained = dict.fromkeys((r.model, r.train_resolution) for r in results.find("train", status="ok"))
    for model, train in trained:
        found = results.find("train", model=model, train_resolution=train, status="ok")
        details, seconds = found[0].details, [sum(record.timings.values()) for record in found]
        speeds = [r.metrics["images_per_second"] for r in found if r.metrics.get("images_per_second")]
        entry = (results.experiment.get("models") or {}).get(model) or {}
        resolution = as_resolution(entry["resolution"]) if entry.get("resolution") else train
        steps, each = details.get("steps"), details.get("flops_per_step")
        own = steps * each if steps is not None and each is not None else None
        before = (entry.get("init") or {}).get("model") or ("file" if entry.get("checkpoint") else ABSENT)
        rows.append((
            str(model), size_label(resolution), count(details.get("parameters")), before, count(each),
            ABSENT if steps is None else str(steps), count(details.get("flops", own)),
            duration(fmean(seconds)) if any(seconds) else ABSENT, number(fmean(speeds)) if speeds else ABSENT,
            str(len(found)),
        ))  # fmt: skip
    return plain("training_cost", "Training, mean over seeds", TRAINING, rows, numbers=True) if rows else None


def sampling_cost(results: Results) -> Table | None:
    """Milliseconds per image, methods x test resolutions; None where no time was taken."""
    tests = list(dict.fromkeys(test for tests in results.resolutions.values() for test in tests))
    rows = []
    for method in results.methods:
        each = [milliseconds(results, method, None, test) for test in tests]
        rows.append((method, *(number(value) if value else ABSENT for value in each)))
    if all(text == ABSENT for _, *row in rows for text in row):
        return None
    title = "Sampling, milliseconds per image by test resolution, mean over seeds"
    head = ("method", *map(size_label, tests))
    return plain("sampling_cost", title, head, rows, numbers=True, note=WALL_CLOCK, methods=results.methods)
