"""How long metrics take, against the implementations people use, on the same data in one run.

    python -m benchmarks.metrics [--out FILE.json]  # small: FD at n = 500 and n = 10,000 with d = 512, about a minute
    python -m benchmarks.metrics --width 2048       # the sizes of FID; clean-fid's matrix square root takes minutes

Prints one line per measurement: what, CPU seconds (best of a few), and how many times as fast as the peer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rpe2d_bench.analysis import replicates
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import fd, kid
from rpe2d_bench.metrics import precision_recall as pr
from rpe2d_bench.metrics.nets.efficientnet import EfficientNetLite0
from rpe2d_bench.metrics.nets.onnx import OnnxNet, accelerated
from rpe2d_bench.metrics.nets.resize import resize
from rpe2d_bench.metrics.nets.table import load_net
from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision


def best(function: Callable[[], object], repeats: int = 3) -> float:
    """Least CPU seconds of a few calls: with one thread the wall seconds of a machine with nothing else to do."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        seconds.append(time.process_time() - started)
    return min(seconds)


LINES: list[dict[str, Any]] = []


def line(what: str, seconds: float, reference: float | None = None, note: str = "") -> None:
    LINES.append({"what": what, "seconds": seconds, "times": reference and reference / seconds, "note": note})
    ratio = f"{reference / seconds:9.1f}x" if reference is not None else " " * 10
    print(f"{what:52} {seconds:10.4f} s {ratio}  {note}", flush=True)


def features(count: int, width: int, seed: int) -> np.ndarray:
    """Correlated positive features with a falling spectrum, like a net's pooled activations."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).standard_normal((width, width)) / np.sqrt(width) / np.arange(1, width + 1) ** 0.5
    return np.maximum(rng.standard_normal((count, width)) @ mixing * (1 + 0.05 * seed) + 0.1, 0).astype(np.float32)


def distances(width: int, count: int) -> None:
    """Frechet and kernel distance from features to a number: ours, clean-fid's, torch-fidelity's."""
    from cleanfid.fid import frechet_distance as cleanfid_distance
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    for n in (500, count):
        one, other = features(n, width, 1), features(n, width, 2)
        value = [0.0, 0.0, 0.0]

        def ours(one: np.ndarray = one, other: np.ndarray = other, value: list[float] = value) -> None:
            value[0] = fd.frechet_distance(one, other)

        def theirs(one: np.ndarray = one, other: np.ndarray = other, value: list[float] = value) -> None:
            x, y = one.astype(np.float64), other.astype(np.float64)
            value[1] = cleanfid_distance(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))

        def torch_fidelitys(one: np.ndarray = one, other: np.ndarray = other, value: list[float] = value) -> None:
            statistics = [
                fid_features_to_statistics(torch.from_numpy(side.astype(np.float64))) for side in (one, other)
            ]
            value[2] = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]

        fast, slow, other_slow = best(ours, 2), best(theirs, 1), best(torch_fidelitys, 1)
        line(f"FD, n = {n}, d = {width}: torch-fidelity", other_slow, None, f"{value[2]:.8g}")
        line(f"FD, n = {n}, d = {width}: clean-fid (sqrtm)", slow, None, f"{value[1]:.8g}")
        line(f"FD, n = {n}, d = {width}", fast, slow, f"{value[0]:.8g}; times clean-fid")
    one, other = (features(min(count, 5000), width, seed) for seed in (1, 2))
    value = [0.0, 0.0]

    def subset() -> None:
        value[1] = kid_features_to_metric(
            torch.from_numpy(one.astype(np.float64)), torch.from_numpy(other.astype(np.float64)), kid_subsets=1,
            kid_subset_size=len(one), kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None,
            kid_kernel_poly_coef0=1, verbose=False, rng_seed=0,
        )[KEY_METRIC_KID_MEAN]  # fmt: skip

    def all_pairs() -> None:
        value[0] = kid.mmd2(one, other)

    fast, slow = best(all_pairs, 2), best(subset, 1)
    line(f"KID, {len(one)} images, all pairs: torch-fidelity", slow, None, f"{value[1]:.8g}")
    line(f"KID, {len(one)} images, all pairs", fast, slow, f"{value[0]:.8g}; times torch-fidelity")
    line(f"precision, {min(count, 5000)} images", best(lambda: pr.precision(one[:5000], other[:5000]), 1))


def resampling() -> None:
    """Bootstrap replicates of the distances at the size of one cell of the main experiment."""
    one, other = features(500, 64, 1), features(500, 64, 2)
    rng = np.random.default_rng(0)
    ours, theirs = (replicates.multinomial_weights(1000, 500, rng) for _ in range(2))
    drawn = [(one.repeat(w, axis=0), other.repeat(v, axis=0))
             for w, v in zip(ours[:100].astype(int), theirs[:100].astype(int), strict=True)]  # fmt: skip

    def linear() -> None:
        value, (first, second) = fd.frechet_distance(one, other), replicates.influences(one, other)
        value + ours @ first / len(one) + theirs @ second / len(other)

    refitted = best(lambda: [fd.frechet_distance(*pair) for pair in drawn], 1) * 10
    line("FD, 1000 resamples of 500 x 64, refitted", refitted)
    line("FD, 1000 resamples of 500 x 64", best(linear), refitted)
    line("KID, 1000 resamples of 500 x 64", best(lambda: replicates.kernel_replicates(one, other, ours, theirs)))


def resizing() -> None:
    """The batch resizer against clean-fid's, image by image."""
    from cleanfid.resize import make_resizer

    for source, target in ((32, 64), (256, 299)):
        images = np.random.default_rng(0).integers(0, 256, (64, 3, source, source), dtype=np.uint8)
        single = make_resizer("PIL", False, "bicubic", (target, target))

        def theirs(images: np.ndarray = images, single: Callable[[np.ndarray], np.ndarray] = single) -> None:
            np.stack([single(image.transpose(1, 2, 0)) for image in images])  # a net takes a batch

        def ours(images: np.ndarray = images, target: int = target) -> None:
            resize(images, (target, target))

        slow, fast = best(theirs), best(ours)
        line(f"resize 64 images {source} -> {target}: clean-fid", slow)
        line(f"resize 64 images {source} -> {target}", fast, slow)


def extraction() -> None:
    """EfficientNet-Lite0 through eager torch and ONNX Runtime."""
    try:
        net = EfficientNetLite0()
    except UserError as error:
        print(error)
        return
    images = 255 * torch.rand(16, 3, 224, 224)
    with torch.inference_mode():
        slow = best(lambda: net.features_and_logits(images))
        line("EfficientNet-Lite0, 16 images, eager", slow, None, f"{16 / slow:.0f} images/s")
        fast = accelerated(net, net.module)
        if not isinstance(fast, OnnxNet):
            print("onnxruntime is not installed")
            return
        seconds = best(lambda: fast.features_and_logits(images))
        off = (fast.features_and_logits(images)[0] - net.features_and_logits(images)[0]).abs().max()
    note = f"{16 / seconds:.0f} images/s, off by {off:.1e}"
    line("EfficientNet-Lite0, 16 images, ONNX Runtime", seconds, slow, note)


def inception() -> None:
    """The net of FID with random weights, ours and torch-fidelity's."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torchvision = import_torchvision()
    made = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    images = torch.randint(0, 256, (8, 3, 299, 299), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "pt_inception-2015-12-05-6726825d.pth"
        torch.save(made.state_dict(), path)
        theirs, ours = FeatureExtractorInceptionV3("random", ["2048"], str(path)), load_net("inception", path)
        slow = best(lambda: theirs(images))
        line("Inception, 8 images: torch-fidelity", slow, None, f"{8 / slow:.1f} images/s")
        fast = best(lambda: ours.features_and_logits(images.float()))
        line("Inception, 8 images", fast, slow, f"{8 / fast:.1f} images/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512, help="features of the distances")
    parser.add_argument("--count", type=int, default=10_000, help="images of the larger distance")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    import_torchvision()
    print(f"{torch.get_num_threads()} thread(s)")
    resizing()
    extraction()
    inception()
    resampling()
    distances(options.width, options.count)
    if options.out:
        options.out.write_text(json.dumps(LINES, indent=1) + "\n")


if __name__ == "__main__":
    main()
