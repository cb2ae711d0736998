"""FD: the Frechet distance between generated and real images, through several views; FID where the net is Inception.

The mathematics is in `frechet.py`.
"""

from __future__ import annotations

from dataclasses import replace

from rpe2d_bench.metrics.metric import Inputs, Metric, Score


def _frechet(inputs: Inputs) -> Score:
    from rpe2d_bench.metrics.frechet import frechet_distance

    generated, reference = inputs.generated.features_ND, inputs.reference.features_ND
    smaller = min(len(generated), len(reference))
    note = ""
    if smaller <= generated.shape[1]:
        note = f"{smaller} images for {generated.shape[1]} features: biased upwards, compare equal counts only"
    return frechet_distance(generated, reference), note


FD = Metric(
    name="fd",
    label="FD",
    better="lower",
    explanation="Fréchet distance between generated and real images in the features of the named net",
    citation="Heusel et al. 2017, arXiv 1706.08500",
    view="whole",
    compute=_frechet,
    ratio=True,
)
FID = replace(
    FD,
    name="fid",
    label="FID",
    explanation="Fréchet distance in the features of the standard Inception net, images resized as clean-fid does",
    only="inception",
    means="fd",
)
FID_ADM = replace(
    FID,
    name="fid_adm",
    label="FID (ADM's resize)",
    explanation="Fréchet distance in the features of the standard Inception net, images resized as ADM's evaluator"
    " does, against the statistics of an ADM reference batch where it holds them",
    only="inception-adm",
)
FD_GLOBAL = replace(
    FD,
    name="fd_global",
    label="Global FD",
    explanation="Fréchet distance after resizing to the train resolution: structure only",
    view="global",
)
FD_LOCAL = replace(
    FD,
    name="fd_local",
    label="Local FD",
    explanation="Fréchet distance of crops of the train size at native resolution, each compared with real crops at"
    " the same place: detail only",
    view="local",
)
SFID = replace(
    FD,
    name="sfid",
    label="sFID",
    explanation="Fréchet distance in spatial features of the standard Inception net",
    citation="Nash et al. 2021, arXiv 2103.03841",
    view="spatial",
    only="inception",
)
