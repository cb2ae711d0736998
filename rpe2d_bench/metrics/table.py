"""The table of metrics by name: a line for each here, and those of every package under the entry point group.

Importing this imports no torch: reports read it for what a number means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from rpe2d_bench.config.entry_points import Table
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.accuracy import ACCURACY
from rpe2d_bench.metrics.attention_entropy import ATTENTION_ENTROPY, ATTENTION_ENTROPY_NATS
from rpe2d_bench.metrics.denoising_error import DENOISING_ERROR
from rpe2d_bench.metrics.denoising_loss import DENOISING_LOSS
from rpe2d_bench.metrics.extrapolated import FD_INFINITY
from rpe2d_bench.metrics.fd import FD, FD_GLOBAL, FD_LOCAL, FID, FID_ADM, SFID
from rpe2d_bench.metrics.inception_score import INCEPTION_SCORE
from rpe2d_bench.metrics.kid import KID, KID_GLOBAL, KID_LOCAL
from rpe2d_bench.metrics.memorization import MEMORIZATION
from rpe2d_bench.metrics.metric import INSIDE, Metric, View
from rpe2d_bench.metrics.objects import OBJECT_COUNT, OBJECT_SIZE
from rpe2d_bench.metrics.precision_recall import COVERAGE, DENSITY, PRECISION, RECALL
from rpe2d_bench.metrics.repetition import REPETITION

GROUP = "rpe2d_bench.metrics"
OWN: tuple[Metric, ...] = (
    FD,
    KID,
    FID,
    FID_ADM,
    FD_INFINITY,
    SFID,
    INCEPTION_SCORE,
    PRECISION,
    RECALL,
    DENSITY,
    COVERAGE,
    ACCURACY,
    FD_GLOBAL,
    KID_GLOBAL,
    FD_LOCAL,
    KID_LOCAL,
    REPETITION,
    OBJECT_COUNT,
    OBJECT_SIZE,
    MEMORIZATION,
    ATTENTION_ENTROPY,
    ATTENTION_ENTROPY_NATS,
    DENOISING_ERROR,
    DENOISING_LOSS,
)


def _complaint(entry: Any) -> str | None:
    """What is wrong with a metric of another package."""
    if not isinstance(entry, Metric):
        return f"{entry!r} is no rpe2d_bench.metrics.Metric"
    if entry.view not in get_args(View):
        return f"{entry.name!r} looks through {entry.view!r}; views are {', '.join(get_args(View))}"
    if entry.view in INSIDE or entry.compute is None:
        return f"{entry.name!r} computes nothing from images; give it compute and a view of images"
    return None


METRICS: Table[Metric] = Table(GROUP, "METRICS", "metric", {metric.name: metric for metric in OWN}, _complaint)


def value_name(metric: str, net: str, judge: str | None) -> str:
    """The name a value carries in records: the metric and the net that saw the images; FID only for Inception's."""
    known = METRICS[metric]
    if not known.has_net:
        return metric
    alone = (other.name for other in METRICS.values() if (other.means, other.only) == (metric, net))
    return next(alone, f"{metric}_{judge if known.view == 'judge' else net}")


def split_value_name(name: str) -> tuple[Metric | None, str]:
    """The metric and the net ('' where none belongs to the name) of a value's name: what `value_name` put together.

    None for what no installed metric is called. The one place that takes such names apart.
    """
    if name in METRICS:
        return METRICS[name], ""
    fitting = [m for m in METRICS.values() if m.has_net and name.startswith(f"{m.name}_")]
    if not fitting:
        return None, ""
    metric = max(fitting, key=lambda metric: len(metric.name))  # kid_global_glyphnet is no KID of a net global_glyphnet
    return metric, name[len(metric.name) + 1 :]


def validate(names: Sequence[str], net: str, judge: str | None = None, *, model: bool = False) -> list[str]:
    """The metrics' canonical names, in order; raises UserError with a suggestion for what cannot be measured.

    `model`: a trained model is at hand, so metrics that look into it are possible, too.
    """
    from rpe2d_bench.metrics.nets.table import entry

    entry(net)
    if judge is not None and not entry(judge).classifies:
        raise UserError(f"the net {judge!r} does not classify; it cannot be the judge")
    if not names:
        raise UserError(f"no metrics; choose among {', '.join(METRICS)}")
    result: list[str] = []
    for name in names:
        metric = METRICS[name]
        if metric.means is not None:
            if net != metric.only:
                raise UserError(f"{name!r} means the net {metric.only!r}; with the net {net!r} write {metric.means!r}")
            name, metric = metric.means, METRICS[metric.means]
        if metric.view in INSIDE and not model:
            raise UserError(f"{name!r} looks into the model, not at images; list it in evaluate.metrics of a file")
        if metric.only not in (None, net):
            raise UserError(
                f"{name!r} is defined on the features of {metric.only!r}, not of {net!r}; leave one of them out"
            )
        if metric.view == "judge":
            if judge is None:
                raise UserError(f"the metric {name!r} needs a judge, a classifier other than {net!r}; name one")
            if judge == net:
                raise UserError(f"the judge must be another net than {net!r}, which the distances already use")
        if name in result:
            raise UserError(f"the metric {name!r} is listed twice; keep one")
        result.append(name)
    return result


@dataclass(frozen=True)
class Asked:
    """Canonical names of metrics by what they look at, each in the order of the file."""

    images: tuple[str, ...]  # generated images, or real ones
    inside: tuple[str, ...]  # the model, in the course of measuring images
    denoising: tuple[str, ...]  # the model on held-out real images, without any sample

    @property
    def sampled(self) -> bool:
        """Whether anything has to be sampled."""
        return bool(self.images or self.inside)


def split(names: Sequence[str], net: str, judge: str | None) -> Asked:
    """The metrics of an experiment, by what they look at."""
    known = validate(names, net, judge, model=True)
    inside, denoising = (tuple(n for n in known if METRICS[n].view == view) for view in INSIDE)
    return Asked(tuple(name for name in known if name not in inside + denoising), inside, denoising)
