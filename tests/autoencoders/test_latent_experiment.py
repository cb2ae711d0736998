"""An experiment through an autoencoder from images to records, and the pool of latents that it trains on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.toy_autoencoders import EXPERIMENT, kl, taef2
from helpers.toy_autoencoders import images as sample_images
from rich.console import Console
from torch import Generator

from rpe2d_bench import autoencoders, data, report
from rpe2d_bench.data.crops import build_crops
from rpe2d_bench.data.image_batches import TrainingImages
from rpe2d_bench.data.latent_batches import Encoder, TrainingLatents
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan import speed
from rpe2d_bench.plan.cost import estimate
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.plan.precision import Precisions
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.stages import SampleStage
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.store import Store


def planned(folder: Path, autoencoder: str, *overrides: str) -> Plan:
    path = folder / "toy.yaml"
    path.write_text(EXPERIMENT.format(images=folder / "images", autoencoder=autoencoder))
    return make_plan(load_experiment(path, overrides), overrides)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("latents")
    sample_images(root / "images")
    kl(root / "kl")
    taef2(root / "taef2.safetensors")
    return root


@pytest.mark.parametrize("kind", ["diffusers", "taef2"])
def test_an_experiment_runs_through_an_autoencoder(folder: Path, kind: str) -> None:
    where = {"diffusers": "kl", "taef2": "taef2.safetensors"}[kind]
    plan = planned(folder, f"kind: {kind}, path: {folder / where}")
    store = Store(folder / f"runs-{kind}")
    found = run(plan, store, engine="local")
    assert [record.error for record in found if record.status == "failed"] == []
    assert {record.stage for record in found} == {"train", "measure", "floor", "enlarged", "noise", "reconstruction"}
    through = [record for record in found if record.stage == "reconstruction"]
    assert {record.test_resolution for record in through} == {(32, 32), (32, 48)}
    assert all(0 < record.measurement.psnr < 60 and "kid_glyphnet" in record.metrics for record in through)
    shown = Console(width=200, file=io.StringIO())
    shown.print(report.terminal_table(found, []))
    assert "real images through the autoencoder" in shown.file.getvalue()  # type: ignore[attr-defined]
    for trial in plan.trials:
        for stage in trial.distinct():
            assert isinstance(stage.generated, SampleStage)
            with np.load(store.folder("sample", stage.generated.key) / "samples.npz") as samples:
                assert samples["pictures"].shape == (8, 3, *stage.generated.resolution)
                assert samples["pictures"].dtype == np.uint8
    assert not estimate(plan, store).coding_flops
    assert run(plan, store, engine="local") == found


def test_pools_are_what_the_autoencoder_makes_of_pixels(folder: Path, tmp_path: Path) -> None:
    """With the identity as encoder, batches are those of pixels where nothing is cropped, true windows elsewhere."""
    dataset = data.build({"name": "image_folder", "path": str(folder / "images"), "flip": True})
    identity = Encoder(lambda pixels: pixels.astype(np.float16), "identity", 1, 3, 3, windows=3)
    crops = build_crops({"kind": "resize_and_crop", "max_zoom": 1.5})
    pool = TrainingLatents(dataset, (32, 32), crops, identity, cache_dir=tmp_path)
    pixels = TrainingImages(dataset, (32, 32), crops, cache_dir=tmp_path)
    native = torch.from_numpy(dataset.images("train", np.arange(len(pool)), (48, 48))).float()
    x, labels, windows = pool.batch(Generator().manual_seed(0), 64)
    y, same_labels, drawn = pixels.batch(Generator().manual_seed(0), 64)
    torch.testing.assert_close(labels, same_labels)
    complete = windows[:, 0] == 0
    assert 0 < complete.sum() < 64
    torch.testing.assert_close(complete, drawn[:, 0] == 0)
    torch.testing.assert_close(x[complete] / 127.5 - 1, y[complete])
    from rpe2d_bench.data.image_batches import crop

    for latent, window in zip(x[~complete], windows[~complete], strict=True):
        cut = crop(native, window.expand(len(native), 3), (32, 32))
        assert (cut - latent).abs().amax((1, 2, 3)).min() <= 0.5  # float16 holds 0..255 exactly
    distinct = {tuple(window) for window in windows[~complete].tolist()}
    assert len(distinct) > 20  # windows differ between images


def test_a_sampled_posterior_is_drawn_for_every_batch(folder: Path, tmp_path: Path) -> None:
    dataset = data.build({"name": "image_folder", "path": str(folder / "images")})

    def encode(pixels: np.ndarray) -> np.ndarray:
        mean = np.full((len(pixels), 2, 4, 4), 5.0, np.float16)
        return np.concatenate((mean, np.full_like(mean, 0.5)), axis=1)

    pool = TrainingLatents(
        dataset, (32, 32), build_crops(None), Encoder(encode, "moments", 8, 2, 4, windows=1), cache_dir=tmp_path
    )
    x, _, _ = pool.batch(Generator().manual_seed(0), 512)
    assert x.shape == (512, 2, 4, 4)
    assert x.mean().item() == pytest.approx(5, abs=0.02)
    assert x.std().item() == pytest.approx(0.5, abs=0.02)


def test_an_interrupted_encoding_continues(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpe2d_bench.data.latent_batches._CHUNK", 8)
    dataset = data.build({"name": "image_folder", "path": str(folder / "images")})
    encoded: list[int] = []

    def encode(pixels: np.ndarray) -> np.ndarray:
        encoded.append(len(pixels))
        return pixels.astype(np.float16)

    def stop(done: int, total: int) -> None:
        if done == 16:
            raise KeyboardInterrupt

    encoder = Encoder(encode, "counted", 1, 3, 3, windows=1)
    with pytest.raises(KeyboardInterrupt):
        TrainingLatents(dataset, (16, 16), build_crops(None), encoder, cache_dir=tmp_path, between=stop)
    assert sum(encoded) == 16
    pool = TrainingLatents(dataset, (16, 16), build_crops(None), encoder, cache_dir=tmp_path)
    assert sum(encoded) == len(pool)
    expected = dataset.images("train", np.arange(len(pool)), (16, 16))
    np.testing.assert_array_equal(pool.latents_NShw.numpy(), expected.astype(np.float16))


def test_keys_depend_on_weights_and_on_windows_where_models_crop(folder: Path, tmp_path: Path) -> None:
    def keys(autoencoder: str, *overrides: str) -> list[str]:
        return [trial.stage.key for trial in planned(folder, autoencoder, *overrides).trials]

    spec = f"kind: diffusers, path: {folder / 'kl'}"
    rope, rpe2d = keys(spec)
    assert keys(spec, "autoencoder.windows=5") == [rope, keys(spec, "autoencoder.windows=5")[1]]
    assert keys(spec, "autoencoder.windows=5")[1] != rpe2d
    other = kl(tmp_path / "other", seed=1)
    assert not set(keys(f"kind: diffusers, path: {other}")) & {rope, rpe2d}


def test_grids_count_latents_and_sizes_are_checked(folder: Path) -> None:
    spec = f"kind: diffusers, path: {folder / 'kl'}"
    plan = planned(folder, spec)
    assert (plan.trials[0].stage.grid.height, plan.trials[0].stage.model_channels) == (2, 4)  # 32 px / (8 x 2)
    with pytest.raises(UserError, match="not a multiple of the autoencoder's 8 px times the patch size, 16; write 32"):
        planned(folder, spec, "resolutions.0.test=[40]")


def test_a_plan_counts_before_anything_is_there(folder: Path, tmp_path: Path) -> None:
    spec = "kind: diffusers, path: nowhere, downsampling: 8, channels: 4"
    there = estimate(planned(folder, f"kind: diffusers, path: {folder / 'kl'}"), Store(tmp_path))
    missing = (f"data.path={tmp_path / 'missing'}", "data.classes=2", "data.files=48")
    absent = planned(folder, spec, *missing, "evaluate.features=efficientnet-lite0")
    cost = estimate(absent, Store(tmp_path))
    assert cost.train_flops == there.train_flops
    assert cost.sample_flops == there.sample_flops
    assert cost.coding_flops == pytest.approx(there.coding_flops, rel=0.5)  # splits are shares only once files exist
    with pytest.raises(UserError, match="missing does not exist"):
        run(absent, Store(tmp_path), engine="local")
    with pytest.raises(UserError, match=r"data\.files: 47 expected, .* has 48"):
        planned(folder, spec, "data.classes=2", "data.files=47")


@pytest.mark.parametrize("kind", ["diffusers", "taef2"])
def test_an_autoencoder_computes_in_what_is_faster_unless_the_store_has_its_latents(
    folder: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = folder / {"diffusers": "kl", "taef2": "taef2.safetensors"}[kind]
    spec, ratio = f"kind: {kind}, path: {where}", [1.0]
    asked = []

    def compared(*_: object) -> speed.Comparison:
        asked.append(ratio[0])
        return speed.Comparison(ratio[0], 1.0, 1)

    monkeypatch.setattr(speed, "compare_convolutions", compared)
    exact, rounded = (planned(folder, f"{spec}, precision: {p}") for p in ("float32", "bf16"))
    keys = [[trial.stage.key for trial in plan.trials] for plan in (exact, rounded)]
    assert keys[0] != keys[1]
    assert asked == []

    def auto(store: Store) -> Plan:
        experiment = load_experiment(folder / "toy.yaml")
        return make_plan(experiment, (), Precisions(store, experiment.resources))

    planned(folder, spec)
    for number, (value, expected) in enumerate([(1.1, exact), (3.0, rounded)]):
        ratio[0] = value
        found = auto(Store(tmp_path / str(number)))
        assert [trial.stage.key for trial in found.trials] == [trial.stage.key for trial in expected.trials]
        assert found.run == expected.run
    store = Store(tmp_path / "old")
    store.make("train", keys[0][-1], lambda partial: write_json(partial / "result.json", {}))
    assert [trial.stage.key for trial in auto(store).trials] == keys[0]
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), np.uint8)
    first, second = (autoencoders.load(plan.trials[0].stage.latents, "cpu") for plan in (exact, rounded))  # type: ignore[arg-type]
    there, too = autoencoders.encoded(first, images), autoencoders.encoded(second, images)
    assert 0 < np.abs(there - too).max() < 0.1 * np.abs(there).max()
    assert too.dtype == np.float16
