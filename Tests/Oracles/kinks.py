"""How close a network's forward pass comes to a kink, where a rounding error turns a gradient into another one.

A ReLU whose input is within rounding of zero, and a max-pooling window whose two largest values are within rounding of
each other, pass their gradient on in one precision and not in another. In a deep network with a large batch there are
always some among the millions of activations, and the gradients of PyTorch's own float32 then lie 1e-3 to 1e-2 from its
float64. That says nothing of either, so gradients are compared on a batch that keeps clear of kinks.
"""

import contextlib

import torch
from torch import nn
from torch.nn import functional


class Margin:
    """The smallest distance from a kink so far, in units of the activations' root mean square."""

    def __init__(self) -> None:
        self.value = float("inf")

    def note(self, distances: torch.Tensor, activations: torch.Tensor) -> None:
        if distances.numel() > 0:
            scale = activations.square().mean().sqrt()
            self.value = min(self.value, float(distances.min() / scale))


@contextlib.contextmanager
def watch_kinks():
    """Inside, every `functional.relu` and `functional.max_pool2d` adds to the margin that this yields."""
    margin = Margin()
    relu, max_pool2d = functional.relu, functional.max_pool2d

    def watched_relu(hidden: torch.Tensor, inplace: bool = False) -> torch.Tensor:
        margin.note(hidden.abs(), hidden)
        return relu(hidden, inplace)

    def watched_max_pool2d(hidden: torch.Tensor, size: int, *arguments, **named) -> torch.Tensor:
        windows = hidden.unfold(2, size, size).unfold(3, size, size).flatten(4)
        largest = windows.topk(2, dim=-1).values
        # Behind a ReLU the values of a window may all be zero: whichever is chosen, nothing passes. Equal values, as
        # of a flat background, are equal in every precision, and the first is taken.
        gaps = (largest[..., 0] - largest[..., 1])[largest[..., 0] > 0]
        margin.note(gaps[gaps > 0], hidden)
        return max_pool2d(hidden, size, *arguments, **named)

    functional.relu, functional.max_pool2d = watched_relu, watched_max_pool2d
    try:
        yield margin
    finally:
        functional.relu, functional.max_pool2d = relu, max_pool2d


@torch.no_grad()
def kink_margin(network: nn.Module, images: torch.Tensor) -> float:
    """The margin of one forward pass in training mode; infinite for a network without kinks."""
    with watch_kinks() as margin:
        network.train()(images)
    return margin.value
