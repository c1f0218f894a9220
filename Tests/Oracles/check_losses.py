#!/usr/bin/env python3
"""Compares the losses in a run's metrics.jsonl with PyTorch's in double precision; fails if they disagree.

    check_losses.py --model resnet20 --metrics runs/.../metrics.jsonl --weights initial.safetensors --data FOLDER

The run must have been made from the same weights and data with `--log-every 1 --no-shuffle --dropout-scale 0` and
without augmentation, its global batch being 128: two ranks of 64.
"""

import argparse
import json
import math
import pathlib
import sys


def run_losses(metrics: pathlib.Path, count: int) -> list[float]:
    """The losses of the first `count` steps of a metrics.jsonl, which must hold each of them once."""
    losses = {}
    for number, line in enumerate(metrics.read_text().splitlines(), start=1):
        try:
            event = json.loads(line)
        except ValueError as error:
            raise SystemExit(f"{metrics}, line {number}: not JSON: {error}")
        if event.get("event") == "step":
            losses.setdefault(event["step"], []).append(event["loss"])
    steps = sorted(losses)[:count]
    if steps not in (list(range(count)), list(range(1, count + 1))) or any(len(losses[step]) != 1 for step in steps):
        raise SystemExit(f"{metrics} does not hold the losses of the first {count} steps, once each: "
                         "was the run made with --log-every 1?")
    return [losses[step][0] for step in steps]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="mnist", help="the network (default mnist)")
    parser.add_argument("--metrics", required=True, type=pathlib.Path, metavar="FILE", help="the run's metrics.jsonl")
    parser.add_argument("--weights", metavar="FILE", help="the initial weights of the run, safetensors")
    parser.add_argument("--data", metavar="FOLDER", help="folder of MNIST's IDX files or CIFAR-10's binary files")
    parser.add_argument("--expected", type=pathlib.Path, metavar="FILE",
                        help="output of losses.py to compare with, in place of --weights and --data")
    parser.add_argument("--learning-rate", type=float, default=0.0025, help="(default 0.0025)")
    parser.add_argument("--steps", type=int, default=20, help="steps to compare (default 20)")
    parser.add_argument("--tolerance", type=float, default=3e-4, help="relative (default 3e-4)")
    arguments = parser.parse_args()
    if bool(arguments.expected) == bool(arguments.weights and arguments.data):
        parser.error("give either --expected, or --weights and --data")

    found = run_losses(arguments.metrics, arguments.steps)
    single = None
    if arguments.expected:
        expected = json.loads(arguments.expected.read_text())["losses"]
        if len(expected) < arguments.steps:
            parser.error(f"{arguments.expected} holds {len(expected)} losses, {arguments.steps} are to be compared")
    else:
        import safetensors.torch
        import torch
        from losses import RANKS, Trajectory
        from tasks import TASKS

        if arguments.model not in TASKS:
            parser.error(f"--model is {arguments.model}; there are {', '.join(TASKS)}")
        weights = safetensors.torch.load_file(arguments.weights)
        images, labels = TASKS[arguments.model].load(arguments.data, True)
        expected, single = (
            Trajectory(weights, images, labels, arguments.steps, dtype, learning_rate=arguments.learning_rate,
                       model=arguments.model, ranks=RANKS).losses for dtype in (torch.float64, torch.float32))

    def difference(value: float, reference: float) -> float:
        return abs(value - reference) / abs(reference) if math.isfinite(value) else math.inf

    print("step        float64            run   relative" + ("   PyTorch float32" if single else ""))
    for step in range(arguments.steps):
        print(f"{step:4d}  {expected[step]:13.8f}  {found[step]:13.8f}   {difference(found[step], expected[step]):.1e}"
              + (f"           {difference(single[step], expected[step]):.1e}" if single else ""))
    worst = max(difference(value, reference) for value, reference in zip(found, expected))
    agrees = worst <= arguments.tolerance
    print(f"largest relative difference {worst:.1e}: {'within' if agrees else 'BEYOND'} {arguments.tolerance:.1e}")
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
