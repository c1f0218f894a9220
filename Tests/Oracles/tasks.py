"""Every network that Freewheel is compared with PyTorch on, by the name that its programs take, and its data."""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

import cifar_reference
import mnist_reference


@dataclasses.dataclass(frozen=True)
class Task:
    """A network and what it is trained on."""

    model: str
    program: str
    """Freewheel's example that trains it, which also begins the name of the run's folder."""
    image_shape: tuple[int, int, int]
    make: Callable[[bool], nn.Module]
    """The module with PyTorch's initial weights; with dropout if told so."""
    load: Callable[[str, bool], tuple[torch.Tensor, torch.Tensor]]
    """Images (bytes) and labels (int64) of a folder, of the training set (true) or the test set."""
    normalize: Callable[..., torch.Tensor]
    """Bytes to network input N x C x H x W of a type."""


MNIST = Task(
    model="mnist", program="mnist", image_shape=(1, 28, 28),
    make=lambda dropout: mnist_reference.Network(dropout_scale=1 if dropout else 0),
    load=lambda folder, training: mnist_reference.load_mnist(folder, "train" if training else "t10k"),
    normalize=mnist_reference.normalize)


def cifar10(model: str) -> Task:
    return Task(
        model=model, program="cifar10", image_shape=cifar_reference.IMAGE_SHAPE,
        make=lambda dropout: cifar_reference.make(model, dropout=0.3 if dropout else 0),
        load=lambda folder, training: cifar_reference.load_cifar10(folder, "train" if training else "test"),
        normalize=cifar_reference.normalize)


TASKS = {"mnist": MNIST} | {model: cifar10(model) for model in cifar_reference.MODELS}


def load_weights(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Loads `tensors` strictly, but for the batch counters of batch normalisation, which nothing depends on."""
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.endswith(".num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"weights of another network: {missing or 'none'} missing, {unexpected or 'none'} unexpected")
