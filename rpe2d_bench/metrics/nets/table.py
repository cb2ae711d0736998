"""The literal table of feature nets; a net is loaded only when it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.metrics.nets.features import FeatureNet
from rpe2d_bench.metrics.nets.weights_file import digest

Classes = tuple[str, ...]  # what the logits stand for, in order


@dataclass(frozen=True)
class NetEntry:
    """A net's name, whether it classifies, whether its weights must be given, and how it is loaded."""

    name: str
    classifies: bool
    needs_weights: bool
    load: Callable[[Path | None, Classes | None], FeatureNet]


def _glyph(name: str) -> Callable[[Path | None, Classes | None], FeatureNet]:
    def load(weights: Path | None, classes: Classes | None) -> FeatureNet:
        from rpe2d_bench.metrics.nets import glyph

        return glyph.load(name) if classes is None else glyph.load(name, classes)

    return load


def _efficientnet(weights: Path | None, classes: Classes | None) -> FeatureNet:
    from rpe2d_bench.metrics.nets.efficientnet import EfficientNetLite0
    from rpe2d_bench.metrics.nets.onnx import AcceleratedOnUse

    net = EfficientNetLite0()
    return AcceleratedOnUse(net, net.module)


def _inception(weights: Path | None, classes: Classes | None) -> FeatureNet:
    from rpe2d_bench.metrics.nets.inception import Inception

    assert weights is not None  # load_net sees to it
    return Inception(weights)


def _inception_adm(weights: Path | None, classes: Classes | None) -> FeatureNet:
    from rpe2d_bench.metrics.nets.inception_adm import InceptionADM

    assert weights is not None  # load_net sees to it
    return InceptionADM(weights)


def _dinov2(weights: Path | None, classes: Classes | None) -> FeatureNet:
    from rpe2d_bench.metrics.nets.dinov2 import Dinov2

    assert weights is not None  # load_net sees to it
    return Dinov2(weights)


FEATURE_NETS: dict[str, NetEntry] = {
    "glyphnet": NetEntry("glyphnet", True, False, _glyph("glyphnet")),
    "glyphjudge": NetEntry("glyphjudge", True, False, _glyph("glyphjudge")),
    "efficientnet-lite0": NetEntry("efficientnet-lite0", True, False, _efficientnet),
    "inception": NetEntry("inception", False, True, _inception),
    "inception-adm": NetEntry("inception-adm", False, True, _inception_adm),
    "dinov2": NetEntry("dinov2", False, True, _dinov2),
}


def entry(name: str) -> NetEntry:
    """The table's entry, or an error with a suggestion."""
    if name not in FEATURE_NETS:
        raise unknown("feature net", name, FEATURE_NETS)
    return FEATURE_NETS[name]


@lru_cache(maxsize=4)
def load_net(name: str, weights: Path | None = None, classes: Classes | None = None) -> FeatureNet:
    """A feature net by name; `weights` is the path of its weights where the package ships none.

    `classes` are the data's class names: the glyph nets answer for these, in this order.
    """
    chosen = entry(name)
    if chosen.needs_weights and weights is None:
        raise UserError(
            f"the net {name!r} ships without weights; give their path (evaluate.weights, or measure --weights), or "
            "choose another net"
        )
    if weights is not None and not chosen.needs_weights:
        raise UserError(f"the net {name!r} brings its own weights; leave the path out")
    return chosen.load(weights, classes)


def net_version(name: str, weights: Path | None = None) -> str:
    """What stands for a net in addresses; of weights that are given, their content and never their path."""
    if weights is not None and entry(name).needs_weights:
        return digest(weights)
    return load_net(name, weights).version
