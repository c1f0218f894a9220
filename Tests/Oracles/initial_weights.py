#!/usr/bin/env python3
"""Writes PyTorch's own initial weights of a network as safetensors, for `--initial-weights`.

    initial_weights.py --model resnet20 --seed 0 --output initial.safetensors
"""

import argparse

import safetensors.torch
import torch

from tasks import TASKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", choices=TASKS, default="mnist", help="the network (default mnist)")
    parser.add_argument("--seed", type=int, default=0, help="PyTorch's random seed (default 0)")
    parser.add_argument("--output", required=True, metavar="FILE", help="the safetensors file to write")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    safetensors.torch.save_file(TASKS[arguments.model].make(True).state_dict(), arguments.output)


if __name__ == "__main__":
    main()
