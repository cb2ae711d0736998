"""A tiny fixed random net, so that the metrics' own arithmetic is tested without trained weights."""

import numpy as np
import pytest
import torch
from torch import Tensor


class RandomNet:
    """A fixed random projection of an 8x8 image; logits are its first four features."""

    name = "random"
    version = "1"
    input_size = (8, 8)
    channels = 1
    num_features = 12

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.matrix = torch.randn(64, self.num_features, generator=generator) / 255

    def features_and_logits(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        features = images_NCHW.flatten(1) @ self.matrix
        return features, features[:, :4]


@pytest.fixture
def net() -> RandomNet:
    return RandomNet()


def images(count: int, seed: int, size: tuple[int, int] = (8, 8), channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, *size), dtype=np.uint8)


@pytest.fixture
def make_images():
    return images
