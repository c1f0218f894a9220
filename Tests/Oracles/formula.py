"""Weights, images and labels that any language can compute to the last bit: the inputs of the golden losses.

Every value comes from splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014), as a
function of a 64-bit counter n, all arithmetic modulo 2^64:

    s = n + 0x9E3779B97F4A7C15
    s = (s xor (s >> 30)) * 0xBF58476D1CE4E5B9
    s = (s xor (s >> 27)) * 0x94D049BB133111EB
    splitmix64(n) = s xor (s >> 31)

Weights. Tensors are numbered t = 0... in the order conv1.weight, conv1.bias, conv2.weight, conv2.bias, fc1.weight,
fc1.bias, fc2.weight, fc2.bias; elements i = 0... in row-major order of PyTorch's shape (OIHW, out x in). With
u = splitmix64(t * 2^32 + i) >> 40 (24 bits), in double precision and rounded to float once, at the end:

    value = (u / 2^23 - 1) * (1 / sqrt(fan_in))      fan_in: 9, 288, 9216, 128; a bias has its layer's

Labels. Example e has the label splitmix64(2^40 + e) mod 10.

Images. With label l, p = splitmix64(2^41 + e) mod 64 and triangle(t) = |(t mod 64) - 32|, the pixel of example e at
row r, column c (each from 0 to 27) is the byte

    6 * triangle((l + 2) * r + (11 - l) * c + p) + (splitmix64(2^42 + 784 * e + 28 * r + c) mod 64)

so that the label decides the direction of a wave, under noise.
"""

import math

import numpy
import torch

from mnist_reference import CLASS_COUNT, Network

LABELS, PHASES, NOISE = 1 << 40, 1 << 41, 1 << 42


def splitmix64(counters: numpy.ndarray) -> numpy.ndarray:
    state = counters.astype(numpy.uint64) + numpy.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return state ^ (state >> numpy.uint64(31))


def formula_weights() -> dict[str, torch.Tensor]:
    """The network's float32 tensors by name."""
    network = Network()
    tensors = {}
    for number, name in enumerate(f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc1", "fc2")
                                  for kind in ("weight", "bias")):
        shape = network.get_parameter(name).shape
        fan_in = network.get_parameter(name.replace("bias", "weight"))[0].numel()
        counters = numpy.arange(math.prod(shape), dtype=numpy.uint64) + numpy.uint64(number << 32)
        bits = (splitmix64(counters) >> numpy.uint64(40)).astype(numpy.float64)
        values = (bits / 2.0**23 - 1) * (1 / math.sqrt(fan_in))
        tensors[name] = torch.from_numpy(values.astype(numpy.float32)).reshape(shape)
    return tensors


def formula_examples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `count` images (count x 28 x 28, bytes) and their labels (int64)."""
    examples = numpy.arange(count, dtype=numpy.uint64)
    labels = (splitmix64(examples + numpy.uint64(LABELS)) % numpy.uint64(CLASS_COUNT)).astype(numpy.int64)
    phases = (splitmix64(examples + numpy.uint64(PHASES)) % numpy.uint64(64)).astype(numpy.int64)
    rows, columns = numpy.arange(28)[None, :, None], numpy.arange(28)[None, None, :]
    label, phase = labels[:, None, None], phases[:, None, None]
    wave = 6 * abs(((label + 2) * rows + (11 - label) * columns + phase) % 64 - 32)
    counters = numpy.arange(count * 784, dtype=numpy.uint64) + numpy.uint64(NOISE)
    noise = (splitmix64(counters) % numpy.uint64(64)).astype(numpy.int64).reshape(count, 28, 28)
    return torch.from_numpy((wave + noise).astype(numpy.uint8)), torch.from_numpy(labels)
