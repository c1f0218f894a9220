#!/usr/bin/env python3
"""Loads a checkpoint's model.safetensors into the usual PyTorch module and prints its accuracy on the test set.

    evaluate.py --model runs/.../checkpoints/latest/model.safetensors --data FOLDER [--metrics runs/.../metrics.jsonl]
    evaluate.py --network resnet20 --model ... --data FOLDER

With --metrics, the accuracy must be the one that the run reported last; another one is a failure.
"""

import argparse
import json
import pathlib
import sys

import safetensors.torch
import torch
from torch.nn import functional

from tasks import TASKS, load_weights

# Images that may be classed otherwise because two logits are equal but for rounding.
TOLERATED_IMAGES = 1


def last_accuracy(metrics: pathlib.Path) -> float:
    events = [json.loads(line) for line in metrics.read_text().splitlines() if line.strip()]
    accuracies = [event["accuracy"] for event in events if "accuracy" in event]
    if not accuracies:
        raise SystemExit(f"{metrics} reports no accuracy")
    return accuracies[-1]


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", required=True, metavar="FILE", help="model.safetensors of a checkpoint")
    parser.add_argument("--network", choices=TASKS, default="mnist", help="which network it is (default mnist)")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="MNIST's IDX files or CIFAR-10's binary files")
    parser.add_argument("--metrics", type=pathlib.Path, metavar="FILE", help="the run's metrics.jsonl to compare with")
    arguments = parser.parse_args()

    task = TASKS[arguments.network]
    network = task.make(False)
    load_weights(network, safetensors.torch.load_file(arguments.model))
    network.eval()
    images, labels = task.load(arguments.data, False)
    correct, loss = 0, 0.0
    for first in range(0, len(images), 500):
        part = slice(first, first + 500)
        logits = network(task.normalize(images[part]))
        correct += int((logits.argmax(1) == labels[part]).sum())
        loss += float(functional.cross_entropy(logits.double(), labels[part], reduction="sum"))
    print(json.dumps({"accuracy": correct / len(images), "correct": correct, "count": len(images),
                      "loss": loss / len(images)}))
    if arguments.metrics:
        reported = last_accuracy(arguments.metrics) * len(images)
        if abs(reported - correct) > TOLERATED_IMAGES + 1e-6:
            print(f"the run reported {reported:.1f} correct images, PyTorch finds {correct}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
