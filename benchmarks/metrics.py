"""How long metrics take, against the implementations people use, on the same data in one run.

    python benchmarks/metrics.py                 # small: FD at n = 500 and n = 10,000 with d = 512, about a minute
    python benchmarks/metrics.py --width 2048    # the sizes of FID; clean-fid's matrix square root takes minutes

Prints one line per measurement: what, CPU seconds (best of a few), and the ratio to the reference.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import bootstrap, frechet, kernel
from rpe2d_bench.metrics import precision_recall as pr
from rpe2d_bench.metrics.efficientnet import EfficientNetLite0
from rpe2d_bench.metrics.onnx_backend import OnnxNet, accelerated
from rpe2d_bench.metrics.resize import cleanfid_resizer, resize
from rpe2d_bench.metrics.torchvision_import import import_torchvision


def best(function: Callable[[], object], repeats: int = 3) -> float:
    """Least CPU seconds of a few calls: with one thread the wall seconds of a machine with nothing else to do."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        seconds.append(time.process_time() - started)
    return min(seconds)


def line(what: str, seconds: float, reference: float | None = None, note: str = "") -> None:
    ratio = f"{reference / seconds:9.1f}x" if reference is not None else " " * 10
    print(f"{what:52} {seconds:10.4f} s {ratio}  {note}", flush=True)


def features(count: int, width: int, seed: int) -> np.ndarray:
    """Correlated positive features with a falling spectrum, like a net's pooled activations."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).standard_normal((width, width)) / np.sqrt(width) / np.arange(1, width + 1) ** 0.5
    return np.maximum(rng.standard_normal((count, width)) @ mixing * (1 + 0.05 * seed) + 0.1, 0).astype(np.float32)


def distances(width: int, count: int) -> None:
    """Frechet distance from features to a number, ours and clean-fid's."""
    from cleanfid.fid import frechet_distance as cleanfid_distance

    for n in (500, count):
        one, other = features(n, width, 1), features(n, width, 2)
        value = [0.0, 0.0]

        def ours(one: np.ndarray = one, other: np.ndarray = other, value: list[float] = value) -> None:
            value[0] = frechet.frechet_distance(one, other)

        def theirs(one: np.ndarray = one, other: np.ndarray = other, value: list[float] = value) -> None:
            x, y = one.astype(np.float64), other.astype(np.float64)
            value[1] = cleanfid_distance(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))

        fast, slow = best(ours, 2), best(theirs, 1)
        line(f"FD, n = {n}, d = {width}: clean-fid (sqrtm)", slow)
        line(f"FD, n = {n}, d = {width}", fast, slow, f"{value[0]:.8g} and {value[1]:.8g}")
    one, other = features(count, width, 1), features(count, width, 2)
    line(f"KID, {min(count, 5000)} pictures, all pairs", best(lambda: kernel.mmd2(one[:5000], other[:5000]), 1))
    line(f"precision, {min(count, 5000)} pictures", best(lambda: pr.precision(one[:5000], other[:5000]), 1))


def resampling() -> None:
    """Bootstrap replicates of the distances at the size of one cell of the main experiment."""
    one, other = features(500, 64, 1), features(500, 64, 2)
    rng = np.random.default_rng(0)
    ours, theirs = (bootstrap.multinomial_weights(1000, 500, rng) for _ in range(2))
    exact = best(lambda: bootstrap.frechet_replicates(one, other, ours[:100], theirs[:100], "exact"), 1) * 10
    line("FD, 1000 resamples of 500 x 64, refitted", exact)
    line("FD, 1000 resamples of 500 x 64", best(lambda: bootstrap.frechet_replicates(one, other, ours, theirs)), exact)
    line("KID, 1000 resamples of 500 x 64", best(lambda: bootstrap.kernel_replicates(one, other, ours, theirs)))


def resizing() -> None:
    """The batch resizer against clean-fid's, picture by picture."""
    for source, target in ((32, 64), (256, 299)):
        pictures = np.random.default_rng(0).integers(0, 256, (64, 3, source, source), dtype=np.uint8)
        single = cleanfid_resizer((target, target))

        def theirs(pictures: np.ndarray = pictures, single: Callable[[np.ndarray], np.ndarray] = single) -> None:
            for picture in pictures:
                single(picture.transpose(1, 2, 0))

        def ours(pictures: np.ndarray = pictures, target: int = target) -> None:
            resize(pictures, (target, target))

        slow, fast = best(theirs), best(ours)
        line(f"resize 64 pictures {source} -> {target}: clean-fid", slow)
        line(f"resize 64 pictures {source} -> {target}", fast, slow)


def extraction() -> None:
    """EfficientNet-Lite0 through eager torch and ONNX Runtime."""
    try:
        net = EfficientNetLite0()
    except UserError as error:
        print(error)
        return
    pictures = 255 * torch.rand(16, 3, 224, 224)
    with torch.inference_mode():
        slow = best(lambda: net.features_and_logits(pictures))
        line("EfficientNet-Lite0, 16 pictures, eager", slow, None, f"{16 / slow:.0f} pictures/s")
        fast = accelerated(net, net.module)
        if not isinstance(fast, OnnxNet):
            print("onnxruntime is not installed")
            return
        seconds = best(lambda: fast.features_and_logits(pictures))
        off = (fast.features_and_logits(pictures)[0] - net.features_and_logits(pictures)[0]).abs().max()
    note = f"{16 / seconds:.0f} pictures/s, off by {off:.1e}"
    line("EfficientNet-Lite0, 16 pictures, ONNX Runtime", seconds, slow, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512, help="features of the distances")
    parser.add_argument("--count", type=int, default=10_000, help="pictures of the larger distance")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    import_torchvision()
    print(f"{torch.get_num_threads()} thread(s)")
    resizing()
    extraction()
    resampling()
    distances(options.width, options.count)


if __name__ == "__main__":
    main()
