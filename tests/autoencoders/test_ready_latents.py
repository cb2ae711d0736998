"""Latents that were encoded before: the pool that encoding would have made, and what does not fit."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.planned import planned
from helpers.toy_autoencoders import EXPERIMENT, images, kl

from rpe2d_bench import autoencoders, data
from rpe2d_bench.data.crops import build_crops
from rpe2d_bench.data.image_folder.dataset import ImageFolder
from rpe2d_bench.data.latent_batches import TrainingLatents
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.cost import estimate
from rpe2d_bench.runner import run
from rpe2d_bench.stages.latents import encoder_of
from rpe2d_bench.storage.store import Store

pytest.importorskip("diffusers")
SCALE, SHIFT = 0.5, 0.25


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, an autoencoder, and latents as MAR's cache_latents writes them."""
    root = tmp_path_factory.mktemp("ready")
    kl(root / "kl", scaling_factor=SCALE, shift_factor=SHIFT)
    images(root / "images")
    dataset = built(root)
    network = autoencoders.load(autoencoders.describe(autoencoders.validate(made_by(root))))._network  # type: ignore[attr-defined]
    for split in data.SPLITS:
        indices = np.arange(len(dataset._names[split]))
        pixels = torch.from_numpy(dataset.images(split, indices, (32, 32))) / 127.5 - 1
        with torch.inference_mode():
            both = [network.encode(x).latent_dist.parameters.numpy() for x in (pixels, pixels.flip(3))]
        for name, moments, flipped in zip(dataset.files(split, indices), *both, strict=True):
            (root / "latents" / name).parent.mkdir(parents=True, exist_ok=True)
            np.savez(root / "latents" / f"{name}.npz", moments=moments, moments_flip=flipped)
    return root


def made_by(root: Path, **options: Any) -> dict[str, Any]:
    return {"kind": "diffusers", "path": str(root / "kl"), "precision": "float32", "windows": 2, **options}


def built(root: Path) -> ImageFolder:
    dataset = data.build({"name": "image_folder", "path": str(root / "images"), "test_share": 0.5, "flip": True})
    assert isinstance(dataset, ImageFolder)
    return dataset


def ready(root: Path, of: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    of = of or made_by(root)
    return {"kind": "ready_latents", "path": str(root / "latents"), "of": of, "scale": SCALE, "shift": SHIFT, **options}


def pool(root: Path, spec: dict[str, Any], cache: Path, size: int = 32, kind: str = "none") -> TrainingLatents:
    encoder = encoder_of(autoencoders.describe(autoencoders.validate(spec)), "cpu")
    crops = build_crops({"kind": kind, "max_zoom": 1.5} if kind == "resize_and_crop" else None)
    return TrainingLatents(built(root), (size, size), crops, encoder, cache_dir=cache)


@pytest.mark.parametrize("posterior", ["mean", "sample"])
def test_ready_latents_are_the_pool_that_encoding_makes(root: Path, tmp_path: Path, posterior: str) -> None:
    of = made_by(root, posterior=posterior)
    encoded, given = pool(root, of, tmp_path / "a"), pool(root, ready(root, of), tmp_path / "b")
    assert encoded.latents_NShw.shape == given.latents_NShw.shape
    torch.testing.assert_close(encoded.latents_NShw.float(), given.latents_NShw.float(), rtol=2e-3, atol=2e-3)


def test_nothing_is_encoded_but_the_check_and_crops(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    real = autoencoders.encoded
    monkeypatch.setattr(autoencoders, "encoded", lambda network, pixels, device: (
        encoded.append(len(pixels)), real(network, pixels, device))[1])  # fmt: skip
    whole = pool(root, ready(root), tmp_path)
    assert encoded == [8]
    pool(root, ready(root), tmp_path, kind="resize_and_crop")
    assert sum(encoded) == 8 + 2 * len(whole)


def test_a_zip_of_latents_is_its_folder(root: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "latents.zip", "w") as archive:
        for file in (root / "latents").rglob("*.npz"):
            archive.write(file, file.relative_to(root / "latents"))
    spaces = [
        autoencoders.describe(autoencoders.validate(spec))
        for spec in (ready(root), ready(root, path=str(tmp_path / "latents.zip")), ready(root, scale=0.4))
    ]
    assert spaces[0].revision == spaces[1].revision != spaces[2].revision
    assert made_by(root)["path"] not in spaces[0].revision


def test_an_experiment_on_ready_latents(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    spec = ", ".join((f"kind: ready_latents, path: {root}/latents, scale: {SCALE}, shift: {SHIFT}",
                      f"of: {{kind: diffusers, path: {root}/kl, precision: float32"))  # fmt: skip
    text = EXPERIMENT.format(images=root / "images", autoencoder=spec).replace("windows: 2}", "windows: 2}}", 1)
    path.write_text(text)
    only = ("extrapolation",)
    plan, store = planned(path, only=only), Store(tmp_path / "runs")
    plain = path.with_name("plain.yaml")
    plain.write_text(
        EXPERIMENT.format(images=root / "images", autoencoder=f"kind: diffusers, path: {root}/kl, precision: float32")
    )
    encoding = planned(plain, only=only)
    assert plan.trials[0].stage.key != encoding.trials[0].stage.key
    assert estimate(plan, store).coding_flops < estimate(encoding, store).coding_flops
    assert {record.status for record in run(plan, store, engine="local")} == {"ok"}


def changed(root: Path, to: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Path:
    for file in (root / "latents").rglob("*.npz"):
        target = to / file.relative_to(root / "latents")
        target.parent.mkdir(parents=True, exist_ok=True)
        with np.load(file) as arrays:
            np.savez(target, **change(dict(arrays)))
    return to


def test_latents_that_do_not_fit_get_one_sentence(root: Path, tmp_path: Path) -> None:
    cases: list[tuple[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], str]] = [
        ("a", lambda found: {"moments": found["moments"]}, "has no moments_flip but moments; write data.flip: false"),
        ("b", lambda found: {"latents": found["moments"]}, r"png\.npz in .* has no moments but latents"),
        (
            "c",
            lambda found: {name: value[:4] for name, value in found.items()},
            r"holds moments \(4, 4, 4\); expected \[8",
        ),
        ("d", lambda found: {name: value * np.nan for name, value in found.items()}, "finite"),
        (
            "e",
            lambda found: {name: value[:, ::-1, ::-1] + 3 for name, value in found.items()},
            "away from what the auto",
        ),
    ]
    for name, change, message in cases:
        spec = ready(root, path=str(changed(root, tmp_path / name, change)))
        with pytest.raises(UserError, match=message):
            pool(root, spec, tmp_path / "cache")
    with pytest.raises(UserError, match="are of 32x32 px, training is at 16x16"):
        pool(root, ready(root), tmp_path / "cache", size=16)
    with pytest.raises(UserError, match="away from what the autoencoder makes"):
        pool(root, ready(root, scale=2.0), tmp_path / "cache")
    some = next((tmp_path / "e").rglob("*.npz"))
    kept = changed(root, tmp_path / "f", lambda found: found)
    (kept / some.relative_to(tmp_path / "e")).write_bytes(b"no npz")
    for other in list(kept.rglob("*.npz"))[:40]:
        other.unlink()
    with pytest.raises(UserError, match=r"has no latents of|cannot be read"):
        pool(root, ready(root, path=str(kept)), tmp_path / "cache")


def test_options_that_cannot_work(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for spec, message in (
        (ready(root, path=str(tmp_path / "none")), "does not exist; give the folder, zip or tars"),
        (ready(root, scale=0.0), "scale must be above 0"),
        (ready(root, ready(root)), "not ready_latents again"),
        (ready(root, path=str(tmp_path / "empty")), "has no latents CLASS"),
        ({"kind": "ready_latents", "path": "x", "of": made_by(root)}, "autoencoder.scale is missing"),
    ):
        with pytest.raises(UserError, match=message):
            autoencoders.describe(autoencoders.validate(spec))
