"""The literal table of metrics: name, version, direction, citation, what it looks at, and how it is computed.

A change that can move a number raises the version, which is part of a result's content address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.metrics import (
    accuracy,
    attention_entropy,
    denoising_error,
    denoising_loss,
    extrapolated,
    frechet,
    kernel,
    memorization,
    objects,
    precision_recall,
)
from rpe2d_bench.metrics import repetition as repetitions
from rpe2d_bench.metrics.inception_score import BLOCK, inception_score
from rpe2d_bench.metrics.nets.features import Features
from rpe2d_bench.metrics.nets.table import entry
from rpe2d_bench.metrics.views import INSIDE, View

Score = tuple[float, str]  # the value, and in words what the reader must know about it


@dataclass(frozen=True)
class Inputs:
    """What one metric may look at, through one view."""

    generated: Features
    reference: Features
    labels: np.ndarray | None
    reference_labels: np.ndarray | None
    training: Features | None
    seed: int
    drawn: bool = False  # labels are independent draws: class counts are not fixed


@dataclass(frozen=True)
class Metric:
    """One metric."""

    name: str
    version: str
    higher_is_better: bool | None  # None: nearest to zero, or not a matter of quality
    citation: str
    needs: View
    compute: Callable[[Inputs], Score]
    training: bool = False  # looks at training images too
    only: str | None = None  # the one net that it is defined on

    @property
    def better(self) -> str:
        return {True: "higher", False: "lower", None: "neither"}[self.higher_is_better]


def _frechet(inputs: Inputs) -> Score:
    generated, reference = inputs.generated.features_ND, inputs.reference.features_ND
    smaller = min(len(generated), len(reference))
    note = ""
    if smaller <= generated.shape[1]:
        note = f"{smaller} images for {generated.shape[1]} features: biased upwards, compare equal counts only"
    return frechet.frechet_distance(generated, reference), note


def _frechet_infinity(inputs: Inputs) -> Score:
    return extrapolated.frechet_at_infinity(inputs.generated.features_ND, inputs.reference.features_ND, inputs.seed)


def _kernel(inputs: Inputs) -> Score:
    generated, reference = inputs.generated.features_ND, inputs.reference.features_ND
    return kernel.kernel_distance(
        generated, reference, inputs.seed, inputs.labels, inputs.reference_labels, inputs.drawn
    )


def _plain(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Inputs], Score]:
    return lambda inputs: (function(inputs.generated.features_ND, inputs.reference.features_ND), "")


def _accuracy(inputs: Inputs) -> Score:
    if inputs.labels is None:
        raise UserError("accuracy needs the class each image was asked to show; give labels or leave it out")
    return accuracy.accuracy(inputs.generated, inputs.labels), ""


def _inception_score(inputs: Inputs) -> Score:
    if inputs.generated.logits_NK is None:
        raise UserError(f"the Inception score needs class logits, but {inputs.generated.net} gave none")
    value, blocks = inception_score(inputs.generated.logits_NK, inputs.seed)
    count = len(inputs.generated)
    note = f"mean of {blocks} blocks of {count // blocks}" if blocks > 1 else f"one block of {count}"
    return value, note + (f"; below {BLOCK} images: biased downwards" if count < BLOCK else "")


def _repetition(inputs: Inputs) -> Score:
    seen, real = inputs.generated.features_ND[:, 0], inputs.reference.features_ND[:, 0]
    median = f"median correlation {np.median(seen):.2f}, of real images {np.median(real):.2f}"
    return repetitions.repetition(seen, real), f"above the 99th percentile of {len(real)} real images; {median}"


def _memorization(inputs: Inputs) -> Score:
    if inputs.training is None:
        raise UserError("memorization needs training images to compare with; give them or leave it out")
    found = memorization.memorization(
        inputs.generated.features_ND, inputs.training.features_ND, inputs.reference.features_ND
    )
    note = f"0.5 +- {found.standard_error:.2g} without memorization; {found.near_copies:.1%} near copies"
    return found.nearer_to_training, f"{note}; {found.count} training and held-out images"


def _of_model(inputs: Inputs) -> Score:
    raise UserError("this metric looks into the model, not at images; list it in evaluate.metrics of an experiment")


_PR, _DC = "Kynkaanniemi et al. 2019, arXiv 1904.06991", "Naeem et al. 2020, arXiv 2002.09797"
_SFID, _IS = "Nash et al. 2021, arXiv 2103.03841", "Salimans et al. 2016, arXiv 1606.03498"
_ATTENTION = "after Jin et al. 2023, arXiv 2306.08645"
_FD, _KID = "Heusel et al. 2017, arXiv 1706.08500", "Binkowski et al. 2018, arXiv 1801.01401"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("fd", "1", False, _FD, "whole", _frechet),
        Metric("kid", "1", False, _KID, "whole", _kernel),
        Metric("fd_infinity", "1", False, "Chong & Forsyth 2020, arXiv 1911.07023", "whole", _frechet_infinity),
        Metric("sfid", "1", False, _SFID, "spatial", _frechet, only="inception"),
        Metric("inception_score", "1", True, _IS, "whole", _inception_score, only="inception"),
        Metric("precision", "1", True, _PR, "whole", _plain(precision_recall.precision)),
        Metric("recall", "1", True, _PR, "whole", _plain(precision_recall.recall)),
        Metric("density", "1", True, _DC, "whole", _plain(precision_recall.density)),
        Metric("coverage", "1", True, _DC, "whole", _plain(precision_recall.coverage)),
        Metric("accuracy", "1", True, "Ravuri & Vinyals 2019, arXiv 1905.10887 (a fixed judge)", "judge", _accuracy),
        Metric("fd_global", "1", False, _FD, "global", _frechet),
        Metric("kid_global", "1", False, _KID, "global", _kernel),
        Metric("fd_local", "1", False, _FD, "local", _frechet),
        Metric("kid_local", "1", False, _KID, "local", _kernel),
        Metric("repetition", "1", False, "this package, after Lewis 1995", "repetition", _repetition),
        Metric("object_count", "1", False, "this package", "objects", _plain(objects.count_distance)),
        Metric("object_size", "1", False, "this package", "objects", _plain(objects.size_distance)),
        Metric("memorization", "1", False, "Meehan et al. 2020, arXiv 2004.05675", "whole", _memorization, True),
        Metric(attention_entropy.RELATIVE, attention_entropy.VERSION, None, _ATTENTION, "model", _of_model),
        Metric(attention_entropy.NATS, attention_entropy.VERSION, None, _ATTENTION, "model", _of_model),
        Metric(denoising_error.NAME, denoising_error.VERSION, False, "this package", "denoising", _of_model),
        Metric(denoising_loss.NAME, denoising_loss.VERSION, False, "this package", "model", _of_model),
    )
}


def value_name(metric: str, net: str, judge: str | None) -> str:
    """The name a value carries in records: the metric and the net that saw the images; FID only for Inception's."""
    needs = METRICS[metric].needs
    if needs in ("repetition", "objects", *INSIDE) or METRICS[metric].only:
        return metric
    if needs == "judge":
        return f"{metric}_{judge}"
    return "fid" if (metric, net) == ("fd", "inception") else f"{metric}_{net}"


def validate(names: Sequence[str], net: str, judge: str | None = None, *, model: bool = False) -> list[str]:
    """The metrics' canonical names, in order; raises UserError with a suggestion for what cannot be measured.

    `model`: a trained model is at hand, so metrics that look into it are possible, too.
    """
    entry(net)
    if judge is not None and not entry(judge).classifies:
        raise UserError(f"the net {judge!r} does not classify; it cannot be the judge")
    if not names:
        raise UserError(f"no metrics; choose among {', '.join(METRICS)}")
    result = []
    for name in names:
        if name == "fid":
            if net != "inception":
                raise UserError(f"'fid' means the standard Inception weights; with the net {net!r} write 'fd'")
            name = "fd"
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
        if METRICS[name].needs in INSIDE and not model:
            raise UserError(f"{name!r} looks into the model, not at images; list it in evaluate.metrics of a file")
        if (only := METRICS[name].only) not in (None, net):
            raise UserError(f"{name!r} is defined on the features of {only!r}, not of {net!r}; leave one of them out")
        if METRICS[name].needs == "judge":
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
    inside, denoising = (tuple(n for n in known if METRICS[n].needs == view) for view in INSIDE)
    return Asked(tuple(name for name in known if name not in inside + denoising), inside, denoising)
