"""What data cost: images rendered in a second, and batches with crops against copying and against a loop.

python benchmarks/data_pipeline.py [--out FILE.json] [--resolution N] [--batch N] [--repeats N]

Limits and peers, measured in the same run on the same single thread:
- copy: the memory traffic that a batch cannot avoid (uint8 images read, float32 images written) at the bandwidth of
  a copy that is too large for the caches;
- loop: Pillow's resize with a box, image by image, from memory, which is what a torchvision transform does.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from rpe2d_bench.data.crops import CropOptions, NoCrops, ResizeAndCrop, window
from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from rpe2d_bench.data.image_batches import TrainingImages

HARD = GlyphOptions(texture="by_class", background="textured", objects=3, size_jitter=0.3)


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Median processor time of a call after one that warms up: one thread, so the wall time of a quiet machine."""
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times[1:])


def copy_bandwidth(repeats: int) -> float:
    """Bytes read and written in a second by a copy of 128 MiB."""
    source = torch.ones(1 << 27, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * source.numel() / median_seconds(lambda: target.copy_(source), repeats)


def rendering(repeats: int) -> list[dict[str, Any]]:
    """Images a second by kind of scene and resolution."""
    rows = []
    for name, options in (("white digits", GlyphOptions()), ("textures, 1-3 objects", HARD)):
        glyphs = options.build()
        for resolution in ((16, 16), (32, 32), (32, 64), (64, 64), (96, 96)):
            indices = np.arange(256)
            seconds = median_seconds(partial(glyphs.images, "test", indices, resolution), repeats)
            rows.append({"scene": name, "resolution": resolution, "images_per_s": len(indices) / seconds})
    return rows


def pillow_loop(native: np.ndarray, crop_B3: torch.Tensor, resolution: tuple[int, int]) -> torch.Tensor:
    """The same crops, one image at a time."""
    cropped = []
    for image, numbers in zip(native, crop_B3, strict=True):
        (top, tall), (left, wide) = (window(numbers[None], axis, image.shape[1 + axis]) for axis in (0, 1))
        box = (float(left), float(top), float(left + wide), float(top + tall))
        bands = [Image.fromarray(band).resize(resolution[::-1], Image.Resampling.BICUBIC, box=box) for band in image]
        cropped.append(np.stack([np.asarray(band) for band in bands]))
    return torch.from_numpy(np.stack(cropped)).float().div_(127.5).sub_(1)


def batches(resolution: tuple[int, int], batch: int, repeats: int, bandwidth: float) -> list[dict[str, Any]]:
    """Milliseconds a batch by kind of crops, over copying and over the loop."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for channels in (1, 3):
            glyphs = GlyphOptions(channels=channels, train_pictures=2000).build()
            kinds: dict[str, CropOptions] = {
                "none": NoCrops(),
                "native, 40 % complete": ResizeAndCrop(),
                "native, all cropped": ResizeAndCrop(uncropped_share=0.0),
                "train, all cropped": ResizeAndCrop(uncropped_share=0.0, source="train"),
            }
            for name, crops in kinds.items():
                pool = TrainingImages(glyphs, resolution, crops, cache_dir=cache)
                rng = torch.Generator().manual_seed(0)
                seconds = median_seconds(partial(pool.batch, rng, batch), repeats)
                pixels = batch * channels * resolution[0] * resolution[1]
                row = {"crops": name, "channels": channels, "ms": 1e3 * seconds, "images_per_s": batch / seconds}
                row["over_copy"] = seconds / (5 * pixels / bandwidth)
                if name == "native, all cropped":
                    native = glyphs.images("train", np.arange(batch), (2 * resolution[0], 2 * resolution[1]))
                    drawn = crops.draw(torch.rand(batch, 4, generator=rng))
                    loop = median_seconds(partial(pillow_loop, native, drawn, resolution), repeats)
                    row["loop_ms"] = 1e3 * loop
                rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    resolution = (options.resolution, options.resolution)
    bandwidth = copy_bandwidth(options.repeats)
    rows = batches(resolution, options.batch, options.repeats, bandwidth)
    result: dict[str, Any] = {
        "machine": {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1},
        "copy_GB_per_s": bandwidth / 1e9,
        "rendering": rendering(options.repeats),
        "batches": {"resolution": resolution, "batch": options.batch, "rows": rows},
    }
    print(f"one thread, copy {bandwidth / 1e9:.1f} GB/s (read and written)\n")
    print(f"{'rendered':24}{'pixels':>9}{'images/s':>12}")
    for row in result["rendering"]:
        height, width = row["resolution"]
        print(f"{row['scene']:24}{f'{height}x{width}':>9}{row['images_per_s']:12,.0f}")
    title = f"batch of {options.batch} at {options.resolution} px"
    print(f"\n{title:24}{'channels':>9}{'ms':>8}{'images/s':>12}{'over copy':>11}{'loop ms':>9}{'faster':>8}")
    for row in rows:
        loop = f"{row['loop_ms']:9.2f}{row['loop_ms'] / row['ms']:7.1f}x" if "loop_ms" in row else ""
        speed = f"{row['ms']:8.2f}{row['images_per_s']:12,.0f}{row['over_copy']:11.1f}"
        print(f"{row['crops']:24}{row['channels']:9}{speed}{loop}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
