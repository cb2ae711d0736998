"""What training and sampling cost, as measured when they really ran."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.diffusion import Schedule
from rpe2d_bench.report.content import Content, Text
from rpe2d_bench.report.table import ABSENT, Table, count, duration, number, plain
from rpe2d_bench.resolution import Size
from rpe2d_bench.sampling.schedule import Place, places_in_words, schedule_at

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
    tables = [table for table in (training_cost(results), sampling_cost(results), sampler_shares(results)) if table]
    return Content("Cost", tuple(tables) or (Text("Nothing finished in the records.", "missing"),))


def training_flops(results: Results, method: str, train: Size) -> float | None:
    """FLOPs of the model of a method with all stages before it, mean over seeds; None where they were not kept."""
    trained = results.find("train", model=results.methods[method].model, train_resolution=train, status="ok")
    found = [record.training.flops for record in trained if record.training]
    return fmean(found) if found else None


def milliseconds(results: Results, method: str, train: Size | None, test: Size) -> float | None:
    """Of sampling one image, mean over seeds (and train resolutions, without one); None where it was not timed."""
    found = [
        1000 * record.timings["sample"] / record.num_samples
        for trained in (results.resolutions if train is None else [train])
        for record in results.cell(method, trained, test)
        if record.status == "ok" and record.num_samples and "sample" in record.timings
    ]
    return fmean(found) if found else None


def training_cost(results: Results) -> Table | None:
    """A row per trained model, also those that others start from; None where nothing was trained."""
    rows = []
    trained = dict.fromkeys((r.model, r.train_resolution) for r in results.find("train", status="ok"))
    for model, train in trained:
        found = results.find("train", model=model, train_resolution=train, status="ok")
        training, seconds = found[0].training, [sum(record.timings.values()) for record in found]
        speeds = [r.metrics["images_per_second"] for r in found if r.metrics.get("images_per_second")]
        entry = results.experiment.models.get(str(model))
        before = ABSENT
        if entry is not None and (entry.init or entry.checkpoint):
            before = entry.init.model if entry.init else "file"
        size = (training.parameters, training.flops_per_step, training.flops) if training else (None, None, None)
        rows.append((
            str(model), size_label((entry and entry.resolution) or train), count(size[0]), before, count(size[1]),
            str(training.steps) if training else ABSENT, count(size[2]),
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


def sampler_shares(results: Results) -> Table | None:
    """What the sampler of every method did at every size; a row per schedule, None where records do not say."""
    usual = results.experiment.evaluate.sampler.model_dump(mode="json")
    found: dict[Schedule, list[Place]] = {}
    for name, method in results.methods.items():
        options = Sampler.model_validate({**usual, **method.sampler})
        for train, tests in results.resolutions.items():
            for test in tests:
                schedule = schedule_at(options, train if method.upscale else test, train)
                found.setdefault(schedule, []).append((name, test))
    rows = [
        (places_in_words(places), f"{schedule.shift:.4g}", str(len(schedule.starts)), f"{schedule.early:.0%}",
         " ".join(f"{t:.3g}" for t in schedule.starts), schedule.warning or ABSENT)
        for schedule, places in found.items()
    ]  # fmt: skip
    head = ("where", "shift", "steps", "above t = 0.9", "t of every step", "note")
    return plain("samplers", "The sampler's share", head, rows) if rows else None
