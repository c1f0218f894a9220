#!/usr/bin/env python3
"""The first losses of training a network in PyTorch, in double precision unless told otherwise, as JSON.

    losses.py --model resnet20 --weights initial.safetensors --data FOLDER

AdamWScheduleFree with the example's learning rate, dropout off, no augmentation, no shuffling: global batch b is
examples [128 b, 128 (b + 1)) in file order, and the loss of step b is the mean over it, taken at y before the update.
The batch is divided over the ranks in order. That matters for batch normalisation only, which takes the statistics of
each rank's part by itself, as DistributedDataParallel does; the gradients are then averaged.
"""

import argparse
import json

import safetensors.torch
import schedulefree
import torch
from torch.nn import functional

from tasks import TASKS, load_weights

GLOBAL_BATCH = 128
LEARNING_RATE = 0.0025
RANKS = 2


class Trajectory:
    """A PyTorch run over examples in order; `losses` holds the mean loss of each step."""

    def __init__(self, weights: dict[str, torch.Tensor], images: torch.Tensor, labels: torch.Tensor, steps: int,
                 dtype: torch.dtype = torch.float64, batch_size: int = GLOBAL_BATCH,
                 learning_rate: float = LEARNING_RATE, model: str = "mnist", ranks: int = 1):
        if steps * batch_size > len(images):
            raise SystemExit(f"{steps} steps of {batch_size} examples need {steps * batch_size}, not {len(images)}")
        if batch_size % ranks != 0:
            raise SystemExit(f"a batch of {batch_size} cannot be divided evenly over {ranks} ranks")
        task = TASKS[model]
        self.network = task.make(False).train().to(dtype)
        load_weights(self.network, weights)
        self.optimizer = schedulefree.AdamWScheduleFree(self.network.parameters(), lr=learning_rate)
        self.optimizer.train()
        self.losses = []
        self.first_gradient_norms = {}
        self.inputs = task.normalize(images[:steps * batch_size], dtype)
        self.labels = labels[:steps * batch_size]
        share = batch_size // ranks
        for step in range(steps):
            self.optimizer.zero_grad()
            total = 0.0
            for first in range(step * batch_size, (step + 1) * batch_size, share):
                part = slice(first, first + share)
                loss = functional.cross_entropy(self.network(self.inputs[part]), self.labels[part]) / ranks
                loss.backward()
                total += loss.item()
            if step == 0:
                self.first_gradient_norms = {
                    name: parameter.grad.norm().item() for name, parameter in self.network.named_parameters()
                    if parameter.grad is not None}
            self.optimizer.step()
            self.losses.append(total)

    @torch.no_grad()
    def loss_at_x(self, count: int) -> float:
        """Mean loss of the first `count` examples at x, the point to be evaluated. Ends the run."""
        self.optimizer.eval()
        return functional.cross_entropy(self.network(self.inputs[:count]), self.labels[:count]).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", choices=TASKS, default="mnist", help="the network (default mnist)")
    parser.add_argument("--weights", required=True, metavar="FILE", help="initial weights, safetensors")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="MNIST's IDX files or CIFAR-10's binary files")
    parser.add_argument("--steps", type=int, default=20, help="(default 20)")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="(default float64)")
    parser.add_argument("--batch-size", type=int, default=GLOBAL_BATCH, help="global batch (default 128)")
    parser.add_argument("--ranks", type=int, default=RANKS, help="parts of the global batch (default 2)")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help="(default 0.0025)")
    arguments = parser.parse_args()
    images, labels = TASKS[arguments.model].load(arguments.data, True)
    run = Trajectory(safetensors.torch.load_file(arguments.weights), images, labels, arguments.steps,
                     getattr(torch, arguments.dtype), arguments.batch_size, arguments.learning_rate,
                     arguments.model, arguments.ranks)
    print(json.dumps({"model": arguments.model, "dtype": arguments.dtype, "batch_size": arguments.batch_size,
                      "ranks": arguments.ranks, "learning_rate": arguments.learning_rate, "losses": run.losses}))


if __name__ == "__main__":
    main()
