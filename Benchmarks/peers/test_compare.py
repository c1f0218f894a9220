#!/usr/bin/env python3
"""Tests of `compare` without either program: made-up metrics, and a launcher that writes them.

    python3 Benchmarks/peers/test_compare.py
"""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import unittest

loader = importlib.machinery.SourceFileLoader("compare", str(pathlib.Path(__file__).with_name("compare")))
compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
sys.modules["compare"] = compare
loader.exec_module(compare)


def metrics(rates: list[float], every: int, batch: int, clock_factor: float = 1.0, extra: list[dict] = ()) -> str:
    """Step events every `every` steps at the given rates, with the clock running `clock_factor` times too slow."""
    events, seconds = list(extra), 3.0
    for number, rate in enumerate(rates):
        seconds += clock_factor * every * batch / rate
        events.append({"event": "step", "step": (number + 1) * every, "loss": 1 / (number + 1),
                       "images_per_second": rate, "seconds": seconds})
    return "\n".join(json.dumps(event) for event in events) + "\n"


class ReadMetrics(unittest.TestCase):
    def test_leaves_out_the_warmup_and_weights_by_time(self):
        rate, loss, notes = compare.read_metrics(metrics([10, 4000, 1000], 40, 128), 40, 80, 128)
        self.assertAlmostEqual(rate, 1600)  # harmonic mean of 4000 and 1000
        self.assertAlmostEqual(loss, 1 / 3)
        self.assertEqual(notes, [])

    def test_a_rate_that_disagrees_with_the_clock_is_noted_and_not_believed(self):
        rate, _, notes = compare.read_metrics(metrics([10, 1000, 1000], 40, 64, clock_factor=2), 40, 80, 64)
        self.assertAlmostEqual(rate, 500)
        self.assertEqual(len(notes), 1)

    def test_missing_steps_are_refused(self):
        for rates in ([], [10], [10, 1000]):
            with self.assertRaises(compare.ComparisonError):
                compare.read_metrics(metrics(rates, 40, 64), 40, 80, 64)

    def test_an_evaluation_among_the_timed_steps_is_refused_and_one_after_them_is_not(self):
        for step, refused in ((40, True), (80, True), (120, False)):
            text = metrics([10, 1000, 1000], 40, 64, extra=[{"event": "evaluation", "step": step}])
            if refused:
                with self.assertRaises(compare.ComparisonError):
                    compare.read_metrics(text, 40, 80, 64)
            else:
                self.assertAlmostEqual(compare.read_metrics(text, 40, 80, 64)[0], 1000)


class RunFreewheel(unittest.TestCase):
    def launch(self, script: str, *flags: str):
        with tempfile.TemporaryDirectory() as folder:
            launcher = pathlib.Path(folder, "run")
            launcher.write_text("#!/usr/bin/env python3\nimport json, pathlib, sys\n" + script)
            launcher.chmod(0o755)
            options = compare.parse_arguments(
                ["--steps", "80", "--warmup-steps", "40", "--freewheel-flags", "--seed 7", *flags])
            return compare.run_freewheel(2, options, launcher)

    def test_reads_what_the_launched_program_wrote(self):
        text = metrics([10, 1000, 1000], 40, 128)
        measurement = self.launch(
            "flags = sys.argv\n"
            "assert flags[1:5] == ['mnist', '-n', '2', '--'], flags\n"
            "assert flags[flags.index('--steps') + 1] == '120' and flags[flags.index('--seed') + 1] == '7', flags\n"
            "folder = pathlib.Path(flags[flags.index('--output') + 1], 'mnist-2026')\n"
            "folder.mkdir()\n"
            f"(folder / 'metrics.jsonl').write_text({text!r})\n"
            "(folder / 'run.json').write_text(json.dumps({'versions': {'swift': '6.3'}}))\n")
        self.assertAlmostEqual(measurement.images_per_second, 1000)
        self.assertEqual(measurement.versions, {"swift": "6.3"})

    def test_another_network_is_trained_by_its_own_program_in_the_precision_asked_for(self):
        text = metrics([10, 1000, 1000], 40, 128)
        text += json.dumps({"event": "summary", "peak_memory_bytes": 7 << 20}) + "\n"
        measurement = self.launch(
            "flags = sys.argv\n"
            "assert flags[1:5] == ['cifar10', '-n', '2', '--'], flags\n"
            "assert flags[flags.index('--model') + 1] == 'resnet20' and '--no-augment' in flags, flags\n"
            "assert flags[flags.index('--precision') + 1] == 'bfloat16', flags\n"
            "folder = pathlib.Path(flags[flags.index('--output') + 1], 'cifar10-2026')\n"
            "folder.mkdir()\n"
            f"(folder / 'metrics.jsonl').write_text({text!r})\n", "--model", "resnet20", "--precision", "bfloat16")
        self.assertEqual(measurement.peak_memory_bytes, 7 << 20)

    def test_a_failing_or_silent_program_is_an_error(self):
        for script in ("sys.exit(3)\n", "pass\n"):
            with self.assertRaises(compare.ComparisonError):
                self.launch(script)


class Report(unittest.TestCase):
    def pair(self, freewheel: float, pytorch: float, memory: int | None = None):
        return (compare.Measurement(freewheel, 1, memory, [], {}), compare.Measurement(pytorch, 1, 100, [], {}, 60))

    def test_ratios_are_of_pairs_and_scaling_is_within_a_pair(self):
        pairs = {1: [self.pair(100, 50), self.pair(200, 50)], 2: [self.pair(190, 80, 5), self.pair(400, 100, 9)]}
        self.assertEqual(compare.summarise(pairs[1])["ratio"], [2, 4])
        self.assertEqual(compare.scaling(pairs), {2: {"freewheel": [1.9, 2], "pytorch": [1.6, 2]}})
        self.assertEqual(compare.scaling({2: pairs[2]}), {})

    def test_memory_is_the_largest_and_may_be_missing(self):
        self.assertEqual(compare.summarise([self.pair(1, 1, 5), self.pair(1, 1, 9)])["peak_memory_bytes"],
                         {"freewheel": 9, "pytorch": 100, "pytorch_idle": 60})
        self.assertIsNone(compare.summarise([self.pair(1, 1)])["peak_memory_bytes"]["freewheel"])
        self.assertIsNone(compare.read_peak_memory(metrics([10], 40, 64) + '{"event": "summary"}\n'))

    def test_the_summary_can_be_printed_with_and_without_memory_and_scaling(self):
        for ranks in ([1, 2], [2]):
            pairs = {count: [self.pair(100, 50)] for count in ranks}
            report = {"ranks": {count: compare.summarise(pairs[count]) for count in ranks},
                      "scaling": compare.scaling(pairs)}
            with contextlib.redirect_stdout(io.StringIO()) as output:
                compare.print_summary(report)
            self.assertEqual("over one rank" in output.getvalue(), 1 in ranks)
            self.assertIn("not reported", output.getvalue())


class Arguments(unittest.TestCase):
    def test_impossible_values_are_refused(self):
        for flags in (["--pairs", "0"], ["--steps", "50", "--warmup-steps", "40"], ["--ranks", "0"],
                      ["--steps", "480", "--ranks", "2"], ["--data", "/nowhere"], ["--model", "resnet34"],
                      ["--precision", "float16"], ["--model", "resnet20", "--steps", "400"]):
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                compare.parse_arguments(flags)

    def test_every_network_has_steps_that_can_be_run(self):
        for model in compare.NETWORKS:
            for precision in ("float32", "bfloat16"):
                options = compare.parse_arguments(["--model", model, "--precision", precision])
                self.assertGreater(options.steps, 0)


if __name__ == "__main__":
    unittest.main()
