"""What the comparisons with a peer share: starting programs, describing the machine, printing medians."""

import contextlib
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
CLUSTER = str(ROOT / "Tests/Cluster/cluster")


class ComparisonError(Exception):
    """Something that makes the comparison impossible or unfair, in one line."""


def run(command: list[str]) -> str:
    """Standard output of `command`; its standard error is shown only when it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError as error:
        raise ComparisonError(f"cannot start {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise ComparisonError(f"exit status {done.returncode} from: {shlex.join(command)}")
    return done.stdout


@contextlib.contextmanager
def test_cluster(name: str, shape: str, *flags: str):
    """Hosts of a shape such as `2x1`, made from this machine, as long as the block lasts."""
    run([CLUSTER, "up", shape, "--name", name, *flags])
    try:
        yield
    finally:
        run([CLUSTER, "down", "--name", name])


def describe_machine() -> str:
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    load = os.getloadavg()[0]
    return (f"{model}, {len(os.sched_getaffinity(0))} processors usable, {platform.system()} {platform.release()}, "
            f"load {load:.2f} before the first run")


def first_line(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()[0]
    except (OSError, IndexError):
        return f"{command[0]}: not found"


def spread(values: list[float], digits: int = 0) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def pin_to_cores(count: int, first: int = 0) -> None:
    """Binds this process to `count` cores, from the `first`-th on and around, one processor of each: two threads or two
    processes then never share a core. Must run before PyTorch starts a thread, as threads inherit the binding."""
    cores: dict[str, int] = {}  # first processor of each core
    for processor in sorted(os.sched_getaffinity(0)):
        siblings = pathlib.Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        cores.setdefault(siblings.read_text() if siblings.exists() else str(processor), processor)
    processors = list(cores.values())
    os.sched_setaffinity(0, {processors[(first + index) % len(processors)] for index in range(count)})
