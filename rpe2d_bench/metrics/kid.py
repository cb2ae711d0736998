"""KID: the kernel distance between generated and real images, through several views.

The estimators are in `kernel.py`.
"""

from __future__ import annotations

from dataclasses import replace

from rpe2d_bench.metrics.metric import Inputs, Metric, Score


def _kernel(inputs: Inputs) -> Score:
    from rpe2d_bench.metrics.kernel import kernel_distance

    generated, reference = inputs.generated.features_ND, inputs.reference.features_ND
    return kernel_distance(generated, reference, inputs.seed, inputs.labels, inputs.reference_labels, inputs.drawn)


KID = Metric(
    name="kid",
    label="KID",
    better="lower",
    explanation="kernel distance (unbiased, so it can be below zero) between generated and real images in the features"
    " of the named net",
    citation="Binkowski et al. 2018, arXiv 1801.01401",
    view="whole",
    compute=_kernel,
    factor=1000.0,
    ratio=True,
)
KID_GLOBAL = replace(
    KID,
    name="kid_global",
    label="Global KID",
    explanation="kernel distance after resizing to the train resolution: structure only",
    view="global",
)
KID_LOCAL = replace(
    KID,
    name="kid_local",
    label="Local KID",
    explanation="kernel distance of crops of the train size at native resolution: detail only",
    view="local",
)
