#!/usr/bin/env python3
"""The peer: a network trained with PyTorch, DistributedDataParallel over gloo, and schedulefree's AdamW.

Trains `--warmup-steps-excluded` steps that are not timed and `--steps` that are, and prints one JSON object with the
images per second of the whole job over the timed ones. One thread a process, each process on a core of its own.

    train_pytorch.py --model resnet20 --processes 2 --data FOLDER
    torchrun --nproc-per-node 2 train_pytorch.py --model resnet20 --data FOLDER

The training set lies in memory as one normalised float tensor and a batch is one index_select, so what is measured is
training and not loading or augmentation. Float32 is true float32: no TF32, no bfloat16 behind it. Batch normalisation
keeps statistics of its own on every process and does not broadcast them, which is the fastest and what Freewheel does.

The defaults are the fastest float32 mode found for the MNIST network: channels-last convolutions, multi-tensor
optimizer, denormals flushed, and the max-pooling gradient kept channels-last (`--pool-gradient-layout`).
`NETWORKS` in `compare` says for which other networks channels-last is the slower.

`peak_memory_bytes` in the JSON is the largest resident set of any process from the end of loading to the end of the
timed steps, less the training set's tensor: a loader would not keep that in memory, and it is not the engine's.
`idle_memory_bytes` is the same before the network was made: Python and PyTorch themselves.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import pathlib
import platform
import resource
import socket
import subprocess
import sys
import time

from common import pin_to_cores

# Only a name, a world and a place to meet are taken from the environment, as torchrun sets them.
RANK = int(os.environ.get("RANK", "0"))
LOCAL_RANK = int(os.environ.get("LOCAL_RANK", "0"))
WORLD_SIZE = int(os.environ.get("WORLD_SIZE", "1"))
LAUNCHED = "RANK" in os.environ

MODELS = ("mnist", "resnet20", "resnet18", "wrn-16-8", "resnet9", "vit-tiny", "whitened")
SYNTHETIC_IMAGES = 12_800


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", choices=MODELS, default="mnist", help="the network (default mnist)")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", metavar="FOLDER", help="folder of MNIST's IDX files or CIFAR-10's binary files")
    data.add_argument("--synthetic", action="store_true",
                      help=f"{SYNTHETIC_IMAGES} random images in memory instead of files")
    parser.add_argument("--processes", type=int, default=1, help="processes to start here (default 1)")
    parser.add_argument("--steps", type=int, default=400, help="timed steps (default 400)")
    parser.add_argument("--warmup-steps-excluded", type=int, default=40, metavar="STEPS",
                        help="steps before the timed ones (default 40)")
    parser.add_argument("--blocks", type=int, default=1,
                        help="blocks of timed steps whose rates are reported one by one too (default 1)")
    parser.add_argument("--batch-size", type=int, default=64, help="images a process and step (default 64)")
    parser.add_argument("--learning-rate", type=float, default=0.0025)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True,
                        help="convolve in NHWC order (default on)")
    parser.add_argument("--pool-gradient-layout", action=argparse.BooleanOptionalAction, default=True,
                        help="with --channels-last, hand the MNIST network's max-pooling its gradient in NHWC order "
                        "too, which spares PyTorch two copies of the largest activation (default on)")
    parser.add_argument("--sync-buffers", action=argparse.BooleanOptionalAction, default=False,
                        help="send rank zero's running statistics to all before each step, as "
                        "DistributedDataParallel does unless told otherwise (default off)")
    parser.add_argument("--bfloat16", action="store_true", help="autocast forward and backward to bfloat16")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network (needs a C++ compiler)")
    parser.add_argument("--foreach", action=argparse.BooleanOptionalAction, default=True,
                        help="update all tensors with multi-tensor operations (default on)")
    parser.add_argument("--pin", action=argparse.BooleanOptionalAction, default=True,
                        help="bind each process to one core, as mpirun binds Freewheel's ranks (default on)")
    parser.add_argument("--profile", action="store_true",
                        help="also print the time of each operation to standard error")
    arguments = parser.parse_args()
    for name in ("processes", "steps", "blocks", "batch_size"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; it must be at least 1")
    if arguments.warmup_steps_excluded < 0:
        parser.error(f"--warmup-steps-excluded is {arguments.warmup_steps_excluded}; it must be at least 0")
    if arguments.steps % arguments.blocks != 0:
        parser.error(f"--steps must be a multiple of --blocks; {arguments.steps} is none of {arguments.blocks}")
    return arguments


def start_processes(count: int) -> int:
    """Starts this program `count` times with torchrun's environment; the first failure ends the others."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(count):
        environment = dict(os.environ, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count),
                           MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
        children.append(subprocess.Popen([sys.executable, *sys.argv], env=environment))
    code = 0
    while children:
        for child in [child for child in children if child.poll() is not None]:
            children.remove(child)
            if child.returncode != 0 and code == 0:
                code = child.returncode
                for other in children:
                    other.terminate()
        time.sleep(0.05)
    return code if code >= 0 else 1


def reset_peak_memory() -> None:
    """Makes the largest resident set the present one, where the kernel lets a process do that."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # the peak then includes loading: larger than it was


def peak_memory() -> int:
    """The largest resident set of this process since `reset_peak_memory`, in bytes."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def train(arguments: argparse.Namespace) -> dict:
    import schedulefree
    import torch
    import torch.distributed as distributed
    from torch.nn import functional

    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Oracles"))
    from tasks import TASKS

    task = TASKS[arguments.model]
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("highest")
    torch.backends.fp32_precision = "ieee"
    torch.manual_seed(arguments.seed)

    if arguments.synthetic:
        images = torch.randn(SYNTHETIC_IMAGES, *task.image_shape)
        labels = torch.randint(0, 10, (SYNTHETIC_IMAGES,))
    else:
        images, labels = task.load(arguments.data, True)
        images = task.normalize(images)
    reset_peak_memory()
    idle_memory = peak_memory() - images.nbytes

    network = task.make(True).train()
    if hasattr(network, "channels_last_pool_gradient"):
        network.channels_last_pool_gradient = arguments.channels_last and arguments.pool_gradient_layout
    if arguments.channels_last:
        network = network.to(memory_format=torch.channels_last)
    if arguments.compile:
        network.compile()
    model = network
    if WORLD_SIZE > 1:
        distributed.init_process_group("gloo")
        model = torch.nn.parallel.DistributedDataParallel(
            network, gradient_as_bucket_view=True, static_graph=True, forward_sync_buffers=arguments.sync_buffers)
    optimizer = schedulefree.AdamWScheduleFree(
        model.parameters(), lr=arguments.learning_rate, foreach=arguments.foreach)
    optimizer.train()

    global_batch = arguments.batch_size * WORLD_SIZE
    batches_per_epoch = len(images) // global_batch
    if batches_per_epoch == 0:
        raise SystemExit(f"the global batch of {global_batch} is larger than the {len(images)} training images")
    shuffle = torch.Generator().manual_seed(arguments.seed)
    torch.manual_seed(arguments.seed + 1 + RANK)  # dropout differs between processes
    batch_images = torch.empty(arguments.batch_size, *images.shape[1:])
    permutation = torch.empty(0, dtype=torch.long)

    def step(number: int) -> torch.Tensor:
        nonlocal permutation
        batch = number % batches_per_epoch
        if batch == 0:
            permutation = torch.randperm(len(images), generator=shuffle)
        first = batch * global_batch + RANK * arguments.batch_size
        indices = permutation[first:first + arguments.batch_size]
        torch.index_select(images, 0, indices, out=batch_images)
        targets = labels[indices]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.bfloat16):
            logits = model(batch_images)
        loss = functional.cross_entropy(logits.float(), targets)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def meet() -> None:
        if WORLD_SIZE > 1:
            distributed.barrier()

    for number in range(arguments.warmup_steps_excluded):
        step(number)
    meet()
    processor_start = time.process_time()
    edges = [time.perf_counter()]
    for number in range(arguments.steps):
        loss = step(arguments.warmup_steps_excluded + number)
        if (number + 1) % (arguments.steps // arguments.blocks) == 0 and number + 1 < arguments.steps:
            edges.append(time.perf_counter())
    meet()
    edges.append(time.perf_counter())
    seconds, processor_seconds = edges[-1] - edges[0], time.process_time() - processor_start
    block_images = arguments.steps // arguments.blocks * global_batch
    peak = torch.tensor(peak_memory() - images.nbytes)
    if WORLD_SIZE > 1:
        distributed.all_reduce(peak, distributed.ReduceOp.MAX)
    final_loss = float(loss)

    if arguments.profile:
        print_profile(step, first=arguments.warmup_steps_excluded + arguments.steps)
    if WORLD_SIZE > 1:
        distributed.destroy_process_group()
    return {
        "images_per_second": arguments.steps * global_batch / seconds,
        "block_images_per_second": [block_images / (end - start) for start, end in itertools.pairwise(edges)],
        "step_milliseconds": 1000 * seconds / arguments.steps,
        "processor_milliseconds": 1000 * processor_seconds / arguments.steps,
        "peak_memory_bytes": int(peak),
        "idle_memory_bytes": idle_memory,
        "model": arguments.model,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "processes": WORLD_SIZE,
        "batch_size": arguments.batch_size,
        "steps": arguments.steps,
        "warmup_steps_excluded": arguments.warmup_steps_excluded,
        "loss": final_loss,
        "channels_last": arguments.channels_last,
        "bfloat16": arguments.bfloat16,
        "compile": arguments.compile,
        "torch": torch.__version__,
        "schedulefree": importlib.metadata.version("schedulefree"),
        "python": platform.python_version(),
    }


def print_profile(step, first: int, steps: int = 20) -> None:
    """Runs `steps` more steps on every process and prints rank zero's operations, slowest first."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for number in range(first, first + steps):
            step(number)
    if RANK != 0:
        return
    for event in sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)[:24]:
        print(f"{event.self_cpu_time_total / steps / 1000:8.3f} ms a step  "
              f"{event.count / steps:5.1f} calls  {event.key}", file=sys.stderr)


def main() -> int:
    arguments = parse_arguments()
    if not LAUNCHED and arguments.processes > 1:
        return start_processes(arguments.processes)
    if arguments.pin:
        pin_to_cores(1, first=LOCAL_RANK)
    os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "STRICT"
    result = train(arguments)
    if RANK == 0:
        print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
