"""Training curves: loss over steps, per model, one thin line per seed."""

from __future__ import annotations

import json
import math
from pathlib import Path

from matplotlib.figure import Figure

from rpe2d_bench.analysis.palette import COLOURS, DASHES, styles_of
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import legend_label, size_label
from rpe2d_bench.report.content import Content, Text
from rpe2d_bench.report.drawing import Drawing, drawing
from rpe2d_bench.report.figures import logarithmic, paper_style
from rpe2d_bench.report.values import put_value
from rpe2d_bench.storage.records import Record

WINDOWS = 120  # points of a drawn curve; each is the mean of its window
VALUES = 12  # of these say their number on hover


def build(results: Results, store: Path) -> Content:
    """The curves, where they are still in the store."""
    drawn = training_curves(results, store)
    return Content("Training", (drawn or Text("No training curves were found below the store.", "missing"),))


def read_curve(record: Record, store: Path) -> list[dict[str, float]]:
    """The lines of a training curve by step; a step that was repeated after a resume counts once, the last time."""
    path = record.artifacts.curve
    if path is None or not (store / path).is_file():
        return []
    steps: dict[int, dict[str, float]] = {}
    for line in (store / path).read_bytes().split(b"\n"):
        try:
            entry = json.loads(line)
            steps[int(entry["step"])] = entry
        except (ValueError, KeyError, TypeError):
            continue  # a kill can tear the last line
    return [steps[step] for step in sorted(steps)]


def smooth(points: list[tuple[float, float]], windows: int = WINDOWS) -> list[tuple[float, float]]:
    """Means over equal windows of steps, at the windows' mean steps."""
    if len(points) <= windows:
        return points
    size = math.ceil(len(points) / windows)
    chunks = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(s for s, _ in chunk) / len(chunk), sum(v for _, v in chunk) / len(chunk)) for chunk in chunks]


def training_curves(results: Results, store: Path) -> Drawing | None:
    """Loss over steps of every trained model; None where no curve was kept."""
    models: dict[str, str] = {}
    lines: list[tuple[str, int, list[tuple[float, float]]]] = []
    for record in results.find("train"):
        points = [
            (float(entry["step"]), float(entry["loss"]))
            for entry in read_curve(record, store)
            if isinstance(entry.get("loss"), int | float) and math.isfinite(entry["loss"])
        ]
        if points:
            name = str(record.model)
            if len(results.resolutions) > 1:
                name += f" {size_label(record.train_resolution)} px"
            models[name] = str(record.model)
            lines.append((name, record.seed or 0, smooth(points)))
    if not lines:
        return None
    names = list(dict.fromkeys(name for name, _, _ in lines))
    colours = _colours(results)
    with paper_style():
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        labelled: set[str] = set()
        for name, seed, points in lines:
            index = names.index(name)
            axes.plot([p[0] for p in points], [p[1] for p in points], linewidth=0.9, alpha=0.8,
                      color=colours.get(models[name], COLOURS[-1][0]), linestyle=DASHES[index % len(DASHES)],
                      label=legend_label(name) if name not in labelled else None)  # fmt: skip
            labelled.add(name)
            for step, loss in points[:: -(-len(points) // VALUES)] + points[-1:]:
                put_value(axes, step, loss, f"{name} seed {seed}, step {step:.0f}: {loss:.4g}")
        axes.set_xlabel("training step")
        axes.set_ylabel("training loss (mean over windows)")
        losses = [value for _, _, points in lines for _, value in points]
        if min(losses) > 0 and max(losses) / min(losses) > 5:
            logarithmic(axes.yaxis, min(losses), max(losses))
        figure.legend(loc="outside right center", title="model", alignment="left")
    last = "; ".join(f"{name} seed {seed}: {points[-1][1]:.4g}" for name, seed, points in lines)
    return drawing(
        figure, "training", "Training loss over steps", f"Training loss of {len(lines)} models. At the end: {last}.",
        "One line per seed, smoothed over windows of steps. Losses of models with different augmentation are not"
        " comparable with each other; a curve that still falls at the end is a model that could use more steps. A model"
        " has the colour of its first method.",
    )  # fmt: skip


def _colours(results: Results) -> dict[str, str]:
    """Model -> the colour of the first method that samples it."""
    found: dict[str, str] = {}
    for method, style in styles_of(results).items():
        found.setdefault(results.methods[method].model, style.colour)
    return found
