"""When a sampler is where: the times of its steps at a size, and how many of them are spent in noise.

A shift that grows with the size can leave a large image almost no step in which details are made; most published gains
at large sizes mix that with the positional encoding, so it is said beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from rpe2d_bench.config.experiment import Experiment, Sampler
from rpe2d_bench.diffusion import SAMPLERS
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.sampling.loop import shift_of

Resolution = tuple[int, int]
Place = tuple[str, Resolution]  # method, test resolution
EARLY = 0.9  # steps that start above this t are spent in noise
MOST = 2 / 3  # of the steps; FLUX's own rule crosses it at 2,048 px, and grid artefacts follow (InvokeAI#8838)


@dataclass(frozen=True)
class Schedule:
    """Effective shift, kind and times of the steps' starts, from 1 (noise) downwards."""

    kind: str
    shift: float
    starts: tuple[float, ...]

    @property
    def early(self) -> float:
        """Share of the steps that start above t = 0.9."""
        return sum(t > EARLY for t in self.starts) / len(self.starts)

    @property
    def warning(self) -> str:
        """A sentence where a shift leaves more than two thirds of the steps in noise, else nothing."""
        if self.shift <= 1 or self.early <= MOST:
            return ""
        few = len(self.starts) - round(self.early * len(self.starts))
        steps = f"{few} of {len(self.starts)} steps" if few else f"none of {len(self.starts)} steps"
        return f"shift {self.shift:g} leaves {steps} below t = {EARLY:g}; write a smaller shift or more steps"

    def __str__(self) -> str:
        if SAMPLERS[self.kind].adaptive:
            return f"at most {len(self.starts)} steps of {self.kind}, whose error decides how many and where"
        shown = [f"{t:.3g}" for t in self.starts]
        places = " ".join(shown if len(shown) <= 6 else [*shown[:3], "...", *shown[-2:]])
        steps = f"{len(shown)} step{'s' * (len(shown) > 1)} of {self.kind}"
        return f"shift {self.shift:.4g}, {steps} at t {places}, {self.early:.0%} above {EARLY:g}"


def schedule_of(options: Sampler, grid: Grid, train_grid: Grid) -> Schedule:
    """What a sampler does at a grid; a shift counts tokens, so that autoencoder and patch change nothing."""
    shift = shift_of(options, grid, train_grid)
    return Schedule(options.kind, shift, tuple(SAMPLERS[options.kind].times(options.steps, shift)[:-1]))


def schedule_at(options: Sampler, resolution: Resolution, train: Resolution) -> Schedule:
    """The same from pixels: sides are whole tokens, so that ratios of pixels are those of tokens."""
    return schedule_of(options, Grid(*resolution), Grid(*train))


def schedules(experiment: Experiment) -> dict[Schedule, list[Place]]:
    """Every realised schedule and where it is; what is resized afterwards is sampled at the train resolution."""
    found: dict[Schedule, list[Place]] = {}
    for name, method in experiment.methods.items():
        if experiment.models[method.model].pipeline is not None:
            continue  # its own scheduler decides
        for pair in experiment.resolutions:
            train = experiment.models[method.model].resolution or pair.train
            for test in pair.test:
                schedule = schedule_at(experiment.sampler_of(name), train if method.upscale else test, train)
                found.setdefault(schedule, []).append((name, (test[0], test[1])))
    return found


def in_words(found: dict[Schedule, list[Place]]) -> list[str]:
    """A line per schedule, with where it is unless it is everywhere."""
    if len(found) == 1:
        return [str(next(iter(found)))]
    return [f"{schedule}: {places_in_words(places)}" for schedule, places in found.items()]


def warnings(found: dict[Schedule, list[Place]]) -> list[str]:
    """A sentence for every schedule that leaves less than a third of its steps below t = 0.9."""
    sentences = ((schedule.warning, places) for schedule, places in found.items())
    return [f"sampler: {sentence}; {places_in_words(places)}" for sentence, places in sentences if sentence]


def places_in_words(places: list[Place]) -> str:
    """'yarn, ntk at 48x48, 64x64; upscaled at 32x32': sizes with the methods that are there."""
    methods: dict[Resolution, list[str]] = {}
    for method, resolution in places:
        methods.setdefault(resolution, []).append(method)
    sizes: dict[str, list[str]] = {}
    for (height, width), names in methods.items():
        sizes.setdefault(", ".join(dict.fromkeys(names)), []).append(f"{height}x{width}")
    return "; ".join(f"{names} at {', '.join(where)}" for names, where in sizes.items())
