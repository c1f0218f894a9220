#!/usr/bin/env python3
"""Tests of `train_pytorch.py`: its flags, and, where PyTorch is there, a few steps on one process and on two.

    python3 Benchmarks/peers/test_train.py

FREEWHEEL_PYTHON, or else the virtual environment that `setup` makes, is the Python that trains.
"""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import unittest
from unittest import mock

import train_pytorch

FOLDER = pathlib.Path(__file__).resolve().parent
PYTHON = os.environ.get("FREEWHEEL_PYTHON", str(FOLDER / ".venv/bin/python"))


class Arguments(unittest.TestCase):
    def parse(self, *flags: str):
        with mock.patch.object(sys, "argv", ["train_pytorch.py", "--synthetic", *flags]):
            return train_pytorch.parse_arguments()

    def test_impossible_values_are_refused(self):
        for flags in (["--model", "resnet34"], ["--steps", "0"], ["--blocks", "0"], ["--steps", "10", "--blocks", "4"],
                      ["--processes", "0"], ["--warmup-steps-excluded", "-1"]):
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                self.parse(*flags)

    def test_running_statistics_stay_with_their_process(self):
        self.assertFalse(self.parse().sync_buffers)
        self.assertTrue(self.parse("--sync-buffers").sync_buffers)


class Memory(unittest.TestCase):
    def test_the_peak_is_of_what_came_after_the_reset(self):
        train_pytorch.reset_peak_memory()
        before = train_pytorch.peak_memory()
        held = bytearray(64 << 20)
        self.assertGreaterEqual(train_pytorch.peak_memory(), before + len(held) // 2)


@unittest.skipUnless(pathlib.Path(PYTHON).exists(), "no Python with PyTorch: run Benchmarks/peers/setup")
class Steps(unittest.TestCase):
    def train(self, *flags: str) -> dict:
        command = [PYTHON, str(FOLDER / "train_pytorch.py"), "--synthetic", "--steps", "4", "--blocks", "2",
                   "--warmup-steps-excluded", "1", "--batch-size", "8", *flags]
        environment = {name: value for name, value in os.environ.items() if name != "RANK"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def test_a_few_steps_are_timed_in_blocks(self):
        result = self.train("--model", "resnet20", "--bfloat16")
        self.assertEqual((result["model"], result["parameters"], result["bfloat16"]), ("resnet20", 272_474, True))
        self.assertEqual(len(result["block_images_per_second"]), 2)
        self.assertGreater(result["peak_memory_bytes"], result["idle_memory_bytes"])

    def test_two_processes_train_together(self):
        result = self.train("--model", "vit-tiny", "--processes", "2", "--no-channels-last")
        self.assertEqual((result["processes"], result["channels_last"]), (2, False))


if __name__ == "__main__":
    unittest.main()
