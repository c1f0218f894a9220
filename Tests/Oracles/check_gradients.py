#!/usr/bin/env python3
"""Compares a file of loss, logits and gradients with another, tensor by tensor; fails if any lies too far away.

    check_gradients.py --expected expected.safetensors --found found.safetensors [--tolerance 1e-4]

The difference of a tensor is its largest absolute difference over the largest absolute value of the expected tensor:
max |found - expected| / max |expected|. Where the expected tensor is zero to rounding (the bias before a batch
normalisation has no gradient), that quotient means nothing: the divisor is at least `FLOOR` times the largest gradient
of any parameter. Every tensor of either file must be in the other, with the same shape, and every value finite.
"""

import argparse
import sys

import numpy
import safetensors.numpy

FLOOR = 1e-6


def differences(expected: dict[str, numpy.ndarray], found: dict[str, numpy.ndarray]) -> dict[str, float]:
    """The difference of each tensor, in the order of `expected`."""
    if missing := sorted(expected.keys() - found.keys()):
        raise SystemExit(f"missing: {', '.join(missing)}")
    if surplus := sorted(found.keys() - expected.keys()):
        raise SystemExit(f"not expected: {', '.join(surplus)}")
    floor = FLOOR * max((abs(values).max() for name, values in expected.items() if name not in ("loss", "logits")),
                        default=0)
    result = {}
    for name, values in expected.items():
        if found[name].size != values.size or name != "loss" and found[name].shape != values.shape:
            raise SystemExit(f"{name} has the shape {found[name].shape}, not {values.shape}")
        gap = abs(found[name].astype(numpy.float64).ravel() - values.astype(numpy.float64).ravel()).max()
        scale = max(abs(values).max(), floor)
        result[name] = float("inf") if not numpy.isfinite(gap) else 0.0 if gap == 0 else float(gap / scale)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--expected", required=True, metavar="FILE", help="as gradients.py writes it")
    parser.add_argument("--found", required=True, metavar="FILE", help="what to compare with it")
    parser.add_argument("--beside", metavar="FILE", help="a third file whose differences are shown but not judged: "
                        "PyTorch's own float32 or bfloat16")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="for every tensor (default 1e-4)")
    parser.add_argument("--quiet", action="store_true", help="print only tensors beyond the tolerance")
    arguments = parser.parse_args()

    expected = safetensors.numpy.load_file(arguments.expected)
    found = differences(expected, safetensors.numpy.load_file(arguments.found))
    beside = differences(expected, safetensors.numpy.load_file(arguments.beside)) if arguments.beside else None
    for name, value in found.items():
        if value > arguments.tolerance or not arguments.quiet:
            print(f"{value:.1e}" + (f"  {beside[name]:.1e}" if beside else "")
                  + f"  {'  ' if value <= arguments.tolerance else '! '}{name}")
    worst = max(found, key=found.get)
    agrees = found[worst] <= arguments.tolerance
    print(f"largest difference {found[worst]:.1e} of {len(found)} tensors, in {worst}: "
          f"{'within' if agrees else 'BEYOND'} {arguments.tolerance:.1e}"
          + (f"; beside {max(beside.values()):.1e}" if beside else ""))
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
