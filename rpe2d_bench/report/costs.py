"""What training and sampling cost, as measured when they really ran."""

from __future__ import annotations

from typing import Any

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.report.answer import duration
from rpe2d_bench.report.plain import PlainTable
from rpe2d_bench.report.tables import number
from rpe2d_bench.sampling.schedule import Place, Schedule, places_in_words, schedule_at

TRAINING = (
    "model", "resolution", "parameters", "starts from", "FLOPs per step", "steps", "FLOPs with the stages before",
    "time", "images per second", "seeds",
)  # fmt: skip
WALL_CLOCK = (
    "Wall clock, with whatever else ran on the machine at that time: small differences between methods are not theirs."
    " Methods that coincide share one measurement."
)


def training_cost(results: Results) -> PlainTable | None:
    """A row per trained model, also those that others start from; None where nothing was trained."""
    rows: list[tuple[str, ...]] = []
    trained = dict.fromkeys((r.model, r.train_resolution) for r in results.find("train", status="ok"))
    for model, train in trained:
        found = results.find("train", model=model, train_resolution=train, status="ok")
        training, seconds = found[0].training, [sum(record.timings.values()) for record in found]
        speeds = [r.metrics["images_per_second"] for r in found if r.metrics.get("images_per_second")]
        entry = results.experiment.models.get(str(model))
        before = "–"
        if entry is not None and (entry.init or entry.checkpoint):
            before = entry.init.model if entry.init else "file"
        size = (training.parameters, training.flops_per_step, training.flops) if training else (None, None, None)
        rows.append((
            str(model), size_label((entry and entry.resolution) or train), _count(size[0]), before, _count(size[1]),
            str(training.steps) if training else "–", _count(size[2]),
            duration(sum(seconds) / len(seconds)) if any(seconds) else "–",
            number(sum(speeds) / len(speeds)) if speeds else "–", str(len(found)),
        ))  # fmt: skip
    return PlainTable("training_cost", "Training, mean over seeds", TRAINING, rows, numbers=True) if rows else None


def sampling_cost(results: Results) -> PlainTable | None:
    """Milliseconds per image, methods x test resolutions; None where no time was taken."""
    tests = list(dict.fromkeys(test for tests in results.resolutions.values() for test in tests))
    rows = []
    for method in results.methods:
        row = [method]
        for test in tests:
            found = [r for r in results.find("measure", method=method, test_resolution=test, status="ok")
                     if r.num_samples and "sample" in r.timings]  # fmt: skip
            each = [1000 * r.timings["sample"] / (r.num_samples or 1) for r in found]
            row.append(number(sum(each) / len(each)) if each else "–")
        rows.append(tuple(row))
    if all(value == "–" for _, *values in rows for value in values):
        return None
    title = "Sampling, milliseconds per image by test resolution, mean over seeds"
    return PlainTable("sampling_cost", title, ("method", *map(size_label, tests)), rows, True, WALL_CLOCK)


def sampler_shares(results: Results) -> PlainTable | None:
    """What the sampler of every method did at every size; a row per schedule, None where records do not say."""
    usual = results.experiment.evaluate.sampler.model_dump(mode="json")
    found: dict[Schedule, list[Place]] = {}
    for name, method in results.methods.items():
        options = Sampler.model_validate({**usual, **method.sampler})
        for train, tests in results.resolutions.items():
            for test in tests:
                schedule = schedule_at(options, train if method.upscale else test, train)
                found.setdefault(schedule, []).append((name, test))
    rows: list[tuple[str, ...]] = [
        (places_in_words(places), f"{schedule.shift:.4g}", str(len(schedule.starts)), f"{schedule.early:.0%}",
         " ".join(f"{t:.3g}" for t in schedule.starts), schedule.warning or "–")
        for schedule, places in found.items()
    ]  # fmt: skip
    head = ("where", "shift", "steps", "above t = 0.9", "t of every step", "note")
    return PlainTable("samplers", "The sampler's share", head, rows) if rows else None


def _count(value: Any) -> str:
    if not isinstance(value, int | float):
        return "–"
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:g}"
