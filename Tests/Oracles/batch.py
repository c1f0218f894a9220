#!/usr/bin/env python3
"""Writes one batch of network inputs and labels as safetensors, for `gradients.py` and `freewheel gradients`.

    batch.py --model resnet20 --data FOLDER --weights initial.safetensors --output batch.safetensors

With --weights it is the one of `--candidates` batches, in file order, whose ReLUs and max-poolings keep furthest from
a kink at those weights (kinks.py says why that matters), otherwise the first.

`images` is N x C x H x W, normalised, and `labels` N whole numbers; both float32, so that a reader of float32 tensors
can read both. Without --data the images are independent normal values and the labels uniform, from --seed.
"""

import argparse
import statistics

import safetensors.torch
import torch

from kinks import kink_margin
from mnist_reference import CLASS_COUNT
from tasks import TASKS, load_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", choices=TASKS, default="mnist", help="the network (default mnist)")
    parser.add_argument("--data", metavar="FOLDER", help="folder of MNIST's IDX files or CIFAR-10's binary files")
    parser.add_argument("--size", type=int, default=2, help="images (default 2)")
    parser.add_argument("--weights", metavar="FILE", help="choose a batch clear of kinks at these weights, safetensors")
    parser.add_argument("--candidates", type=int, default=64, help="batches to choose from (default 64)")
    parser.add_argument("--seed", type=int, default=0, help="random seed without --data (default 0)")
    parser.add_argument("--output", required=True, metavar="FILE", help="the safetensors file to write")
    arguments = parser.parse_args()

    if arguments.size < 1 or arguments.candidates < 1:
        parser.error("--size and --candidates must be at least 1")
    task = TASKS[arguments.model]
    candidates = arguments.candidates if arguments.weights else 1
    count = candidates * arguments.size
    if arguments.data:
        images, labels = task.load(arguments.data, True)
        if count > len(images):
            parser.error(f"{candidates} batches of {arguments.size} images are more than the {len(images)} there are")
        images, labels = task.normalize(images[:count]), labels[:count]
    else:
        torch.manual_seed(arguments.seed)
        images, labels = torch.randn(count, *task.image_shape), torch.randint(0, CLASS_COUNT, (count,))
    batches = list(zip(images.split(arguments.size), labels.split(arguments.size)))
    images, labels = batches[0]
    if arguments.weights:
        network = task.make(False)
        load_weights(network, safetensors.torch.load_file(arguments.weights))
        margins = [kink_margin(network, images) for images, _ in batches]
        images, labels = batches[max(range(candidates), key=margins.__getitem__)]
        print(f"batch {margins.index(max(margins))} of {candidates}: {max(margins):.1e} from the nearest kink, "
              f"against {statistics.median(margins):.1e} in the median batch")
    safetensors.torch.save_file({"images": images.clone(), "labels": labels.float()}, arguments.output)


if __name__ == "__main__":
    main()
