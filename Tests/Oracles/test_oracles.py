#!/usr/bin/env python3
"""Tests of the oracles themselves. Those that need PyTorch are left out where it is missing.

    python3 Tests/Oracles/test_oracles.py
"""

import contextlib
import importlib.util
import io
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

NEEDED = ("numpy", "safetensors", "torch", "schedulefree")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if MISSING:
    print(f"left out: {', '.join(MISSING)} not installed")
    sys.exit(0)

import numpy  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import batch  # noqa: E402
import check_gradients  # noqa: E402
import cifar_reference  # noqa: E402
from gradients import gradients  # noqa: E402
from kinks import watch_kinks  # noqa: E402
from losses import Trajectory  # noqa: E402
from mnist_reference import DataError  # noqa: E402
from tasks import TASKS, load_weights  # noqa: E402


class Networks(unittest.TestCase):
    def test_parameter_counts_are_the_published_ones(self):
        counts = {name: sum(parameter.numel() for parameter in task.make(True).parameters())
                  for name, task in TASKS.items()}
        self.assertEqual(counts, {"mnist": 1_199_882, "resnet20": 272_474, "resnet18": 11_173_962,
                                  "wrn-16-8": 10_961_370, "resnet9": 6_573_120, "vit-tiny": 556_042,
                                  "whitened": 3_158_624})

    def test_positions_follow_the_formula(self):
        table = cifar_reference.sine_cosine_positions(8, rows=3, columns=2)
        row, column, frequency = 2, 1, 10000.0 ** -0.5
        expected = [f(position * w) for position in (column, row) for f in (numpy.sin, numpy.cos)
                    for w in (1, frequency)]
        numpy.testing.assert_allclose(table[row * 2 + column], expected, rtol=1e-14)
        with self.assertRaises(ValueError):
            cifar_reference.sine_cosine_positions(6, 2, 2)

    def test_weights_of_another_network_are_refused_and_batch_counters_may_be_missing(self):
        state = cifar_reference.make("resnet20").state_dict()
        load_weights(cifar_reference.make("resnet20"),
                     {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")})
        for wrong in ({"surplus": torch.zeros(1)} | state, {"fc.bias": state["fc.bias"]}):
            with self.assertRaises(SystemExit):
                load_weights(cifar_reference.make("resnet20"), wrong)
        with self.assertRaises(ValueError):
            cifar_reference.make("resnet34")


class Files(unittest.TestCase):
    def write(self, folder: str, content: bytes) -> None:
        pathlib.Path(folder, "test_batch.bin").write_bytes(content)

    def test_records_are_label_then_planes(self):
        with tempfile.TemporaryDirectory() as folder:
            self.write(folder, b"".join(bytes([label]) + b"".join(bytes([label + plane]) * 1024 for plane in range(3))
                                        for label in (7, 2)))
            images, labels = cifar_reference.load_cifar10(folder, "test")
        self.assertEqual(labels.tolist(), [7, 2])
        self.assertEqual(images.shape, (2, 3, 32, 32))
        self.assertEqual(images[0, :, 5, 5].tolist(), [7, 8, 9])

    def test_damaged_files_are_refused(self):
        for content in (b"", bytes(3072), bytes([10]) + bytes(3072)):
            with tempfile.TemporaryDirectory() as folder, self.assertRaises(DataError):
                self.write(folder, content)
                cifar_reference.load_cifar10(folder, "test")
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(DataError):
            cifar_reference.load_cifar10(folder, "train")

    def test_normalisation_is_by_channel(self):
        images = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
        normal = cifar_reference.normalize(images, torch.float64)
        for channel in range(3):
            expected = (1 - cifar_reference.MEAN[channel]) / cifar_reference.STANDARD_DEVIATION[channel]
            self.assertAlmostEqual(float(normal[0, channel, 3, 4]), expected)


class Gradients(unittest.TestCase):
    def test_differences_are_relative_to_the_largest_value_of_a_tensor(self):
        expected = {"loss": numpy.array([2.0]), "a": numpy.array([4.0, 0.0]), "zero": numpy.array([1e-12])}
        found = {"loss": numpy.array([2.0]), "a": numpy.array([4.0, 0.004]), "zero": numpy.array([3e-12])}
        result = check_gradients.differences(expected, found)
        self.assertEqual(result["loss"], 0)
        self.assertAlmostEqual(result["a"], 1e-3)
        self.assertLess(result["zero"], 1e-5)  # zero to rounding beside a gradient of 4

    def test_other_tensors_other_shapes_and_values_that_are_not_finite_do_not_agree(self):
        expected = {"a": numpy.ones((2, 3))}
        for found in ({}, {"a": numpy.ones((2, 3)), "b": numpy.ones(1)}, {"a": numpy.ones((3, 2))}):
            with self.assertRaises(SystemExit):
                check_gradients.differences(expected, found)
        broken = {"a": numpy.full((2, 3), numpy.nan)}
        self.assertEqual(check_gradients.differences(expected, broken)["a"], float("inf"))

    def test_float32_agrees_with_float64_on_a_batch_clear_of_kinks(self):
        torch.manual_seed(1)
        with tempfile.TemporaryDirectory() as folder:
            weights, file = f"{folder}/weights.safetensors", f"{folder}/batch.safetensors"
            safetensors.torch.save_file(cifar_reference.make("resnet20").state_dict(), weights)
            arguments = ["batch.py", "--model", "resnet20", "--weights", weights, "--candidates", "8", "--output", file]
            with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(io.StringIO()):
                batch.main()
            state, inputs = safetensors.torch.load_file(weights), safetensors.torch.load_file(file)
        double, single = (
            {name: tensor.numpy() for name, tensor in gradients(
                "resnet20", state, inputs["images"], inputs["labels"].long(), dtype).items()}
            for dtype in (torch.float64, torch.float32))
        self.assertEqual(single["logits"].shape, (2, 10))
        self.assertLess(max(check_gradients.differences(double, single).values()), 1e-4)

    def test_the_margin_is_the_nearest_kink(self):
        with watch_kinks() as margin:
            functional.relu(torch.tensor([3.0, -4.0, 0.5, 0.0]) + 0.25)
            self.assertAlmostEqual(margin.value, 0.25 / ((3.25**2 + 3.75**2 + 0.75**2 + 0.25**2) / 4) ** 0.5, places=6)
        with watch_kinks() as margin:
            functional.max_pool2d(torch.tensor([[[[1.0, 3.0], [2.75, 0.0]]]]), 2)
            self.assertAlmostEqual(margin.value, 0.25 / ((1 + 9 + 2.75**2) / 4) ** 0.5, places=6)
        self.assertIs(functional.relu, nn.functional.relu)


class Losses(unittest.TestCase):
    def losses(self, model: str, ranks: int) -> list[float]:
        torch.manual_seed(0)
        weights = cifar_reference.make(model).state_dict()
        images = torch.randint(0, 256, (8, 3, 32, 32)) // torch.arange(1, 9).reshape(8, 1, 1, 1)  # ever darker
        return Trajectory(weights, images.to(torch.uint8), torch.arange(8), steps=2, batch_size=4, model=model,
                          ranks=ranks).losses

    def test_batch_statistics_are_of_each_ranks_part(self):
        self.assertGreater(abs(self.losses("resnet20", ranks=1)[0] - self.losses("resnet20", ranks=2)[0]), 1e-3)

    def test_without_batch_normalisation_the_parts_make_no_difference(self):
        numpy.testing.assert_allclose(self.losses("vit-tiny", ranks=1), self.losses("vit-tiny", ranks=2), rtol=1e-10)

    def test_a_batch_that_cannot_be_divided_is_refused(self):
        with self.assertRaises(SystemExit):
            self.losses("resnet20", ranks=3)


if __name__ == "__main__":
    unittest.main()
