#!/usr/bin/env python3
"""What each part of the recipe `fast` contributes: a replica of it in PyTorch, with one part changed at a time.

usage: recipe_sweep.py --data FOLDER [--variants NAME,...] [--epochs N] [--evaluate-at E,E,...] [--seeds N] [--examples N]

On a large GPU one variant takes some ten seconds, so that parts can be compared which would take hours on the cores that
the recipe is for. The replica is not Freewheel: batches of 256 are normalised as a whole, not as two of 128, activations
are bfloat16 on a GPU, and random numbers are others. Prints a JSON line for each variant: accuracies at x by epoch, of the
image itself, with its mirror image, and of six views. Without a GPU it runs on the processor, for trying it out.
"""

import argparse
import json
import math
import pathlib
import sys
import time

import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Oracles"))
import cifar_reference  # noqa: E402

# A network is a first layer "w" KERNEL "," STRIDE "," FILTERS, then convolutions by their channels: with "p" followed by
# max-pooling, with "r" added to their input; "P" is a max-pooling by itself.
NETWORK = "w3,1,32 64p 64r 256p 256r 256p 256r 256r 256r"
RECIPE = dict(network=NETWORK, optimizer="adamw", batch=256, rate=0.012, decay=0.2, decay_at="z", beta1=0.85, beta2=0.999, warmup=100,
              power=1.0, smoothing=0.1, crop=2, cutout=0, flip="alternating", activation="gelu", dirac=True, bias_rate=1.0)
BASE = "w3,1,32 64p 64r 256p 256r 256p 256r"
VARIANTS = {
    "recipe": {},
    "no shortcuts": dict(network=NETWORK.replace("r", "")),
    "two convolutions less": dict(network=BASE),
    "three convolutions a block": dict(network="w3,1,32 64p 64r 64r 256p 256r 256r 256p 256r 256r"),
    "pooling before the first block": dict(network="w3,1,32 P 64 64r 256p 256r 256p 256r 256r"),
    "first layer of stride 2": dict(network="w4,2,64 64 64r 256p 256r 256p 256r"),
    "ReLU": dict(activation="relu"),
    "convolutions not started as identities": dict(dirac=False),
    "label smoothing 0.2": dict(smoothing=0.2),
    "no label smoothing": dict(smoothing=0.0),
    "decay at y": dict(decay_at="y"),
    "decay 0.05": dict(decay=0.05),
    "decay 0.5": dict(decay=0.5),
    "beta1 0.9": dict(beta1=0.9),
    "beta1 0.95": dict(beta1=0.95),
    "rate 0.005": dict(rate=0.005),
    "uniform averaging": dict(power=0.0),
    "averaging power 4": dict(power=4.0),
    "flips drawn": dict(flip="random"),
    "crop 4": dict(crop=4),
    "crop 1": dict(crop=1),
    "cutout 8": dict(cutout=8),
    "schedule-free SGD": dict(optimizer="sgd", rate=2.5, decay=0.00133, beta1=0.9, warmup=60, decay_at="y", bias_rate=64.0),
    "Nesterov's SGD, triangular schedule": dict(optimizer="nesterov", rate=0.375, decay=0.00133, decay_at="y", bias_rate=64.0,
                                                smoothing=0.2),
}


class Normalization(nn.Module):
    """Batch normalisation whose statistics can be gathered anew."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.mode, self.batches = "train", 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.mode == "train":
            return functional.batch_norm(x, None, None, self.weight, self.bias, True)
        if self.mode == "gather":
            self.batches += 1
            return functional.batch_norm(x, self.mean, self.variance, self.weight, self.bias, True, 1 / self.batches)
        return functional.batch_norm(x, self.mean, self.variance, self.weight, self.bias, False)


class Network(nn.Module):
    def __init__(self, options: dict, images: torch.Tensor):
        super().__init__()
        first, *self.operations = options["network"].split()
        kernel, self.stride, filters = (int(number) for number in first[1:].split(","))
        self.register_buffer("filters", whitening_filters(images, kernel, filters // 2))
        self.padding = (kernel - self.stride + 1) // 2
        self.convolutions, self.normalizations = nn.ModuleList(), nn.ModuleList()
        channels = self.filters.shape[0]
        for operation in self.operations:
            if operation == "P":
                continue
            width = int(operation.rstrip("pr"))
            convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            if options["dirac"]:
                nn.init.dirac_(convolution.weight.data[:channels])
            self.convolutions.append(convolution)
            self.normalizations.append(Normalization(width))
            channels = width
        self.fc = nn.Linear(channels, cifar_reference.CLASS_COUNT, bias=False)
        self.smooth = options["activation"] == "gelu"

    def activation(self, x: torch.Tensor) -> torch.Tensor:
        return functional.gelu(x, approximate="tanh") if self.smooth else functional.relu(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(functional.conv2d(x, self.filters, padding=self.padding, stride=self.stride))
        layers = iter(zip(self.convolutions, self.normalizations))
        for operation in self.operations:
            if operation == "P":
                x = functional.max_pool2d(x, 2)
                continue
            convolution, normalization = next(layers)
            y = convolution(x)
            y = self.activation(normalization(functional.max_pool2d(y, 2) if "p" in operation else y))
            x = x + y if "r" in operation else y
        return self.fc(functional.max_pool2d(x, x.shape[2:]).flatten(1)).float() / 9

    def set_mode(self, mode: str) -> None:
        for normalization in self.normalizations:
            normalization.mode, normalization.batches = mode, 0


def whitening_filters(images: torch.Tensor, kernel: int, count: int) -> torch.Tensor:
    """As `PatchWhitening`: eigenvectors of the patches' covariance by the roots of their eigenvalues, of both signs."""
    patches = images[:2000].unfold(2, kernel, 2).unfold(3, kernel, 2).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * kernel * kernel)
    values, vectors = torch.linalg.eigh(torch.cov(patches.double().T))
    order = torch.argsort(values, descending=True)[:count]
    filters = (vectors[:, order] / torch.sqrt(values[order] + 5e-4)).T.reshape(-1, 3, kernel, kernel).float()
    return torch.cat([filters, -filters])


class Optimizer:
    """One flat array for each of y, z, x and the moments, with every step's scalars in a table: one step is a fixed sequence
    of kernels, which a GPU can replay."""

    def __init__(self, network: Network, options: dict, steps: int):
        self.options = options
        named = [(name, parameter) for name, parameter in network.named_parameters()]
        count, device = sum(parameter.numel() for _, parameter in named), named[0][1].device
        self.y = torch.empty(count, device=device)
        self.gradient, self.rates, self.decays = (torch.zeros(count, device=device) for _ in range(3))
        start = 0
        for name, parameter in named:
            end = start + parameter.numel()
            self.y[start:end] = parameter.data.flatten()
            parameter.data = self.y[start:end].view(parameter.shape)
            parameter.grad = self.gradient[start:end].view(parameter.shape)
            self.rates[start:end] = options["bias_rate"] if name.endswith("bias") else 1
            self.decays[start:end] = options["decay"] / self.rates[start]
            start = end
        self.z, self.x = self.y.clone(), self.y.clone()
        self.moment, self.momentum = torch.zeros_like(self.y), torch.zeros_like(self.y)
        self.weight_sum = 0.0
        self.table = torch.tensor([self.scalars(step, steps) for step in range(steps)], device=device)
        self.now = torch.zeros(3, device=device)

    def scalars(self, step: int, steps: int) -> tuple[float, float, float]:
        """Learning rate, weight of z in x, and the factor of the second moment's bias correction; called once for each step,
        in order."""
        options = self.options
        correction = 1 / math.sqrt(1 - options["beta2"] ** (step + 1))
        if options["optimizer"] == "nesterov":
            rise, fall = 0.2 + 0.8 * (step + 1) / (0.2 * steps), 0.07 + 0.93 * (steps - step) / (0.8 * steps)
            return options["rate"] * min(rise, fall), 1.0, correction
        rise = min(1, (step + 1) / options["warmup"])
        weight = (step + 1) ** options["power"] * rise ** 2
        self.weight_sum += weight
        return options["rate"] * rise, weight / self.weight_sum, correction

    @torch.no_grad()
    def step(self) -> None:
        options, (rate, weight, correction) = self.options, self.now.unbind()
        direction = self.gradient
        if options["optimizer"] == "adamw":
            self.moment.mul_(options["beta2"]).addcmul_(self.gradient, self.gradient, value=1 - options["beta2"])
            direction = self.gradient / (self.moment.sqrt() * correction + 1e-8)
        direction = direction + self.decays * (self.z if options["decay_at"] == "z" else self.y)
        if options["optimizer"] == "nesterov":
            self.momentum.mul_(0.85).add_(direction)
            direction = direction + 0.85 * self.momentum
        self.z.sub_(rate * self.rates * direction)
        self.x.add_(weight * (self.z - self.x))
        if options["optimizer"] == "nesterov":
            self.y.copy_(self.z)
        else:
            self.y.copy_(self.z + options["beta1"] * (self.x - self.z))

    def state(self) -> list[torch.Tensor]:
        return [self.y, self.z, self.x, self.moment, self.momentum]


def augmented(images: torch.Tensor, options: dict, epoch: int, flips: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """All images of an epoch: cropped, flipped, with squares cut out."""
    count, size, crop, device = len(images), images.shape[-1], options["crop"], images.device

    def draw(top: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, top, shape, device=device, generator=random)

    padded = functional.pad(images, (crop,) * 4, "reflect")
    columns, rows, result = draw(2 * crop + 1, count), draw(2 * crop + 1, count), torch.empty_like(images)
    for column in range(2 * crop + 1):
        for row in range(2 * crop + 1):
            chosen = (columns == column) & (rows == row)
            result[chosen] = padded[chosen][:, :, row:row + size, column:column + size]
    flipped = flips ^ bool(epoch % 2) if options["flip"] == "alternating" else draw(2, count).bool()
    result = torch.where(flipped.view(-1, 1, 1, 1), result.flip(3), result)
    if side := options["cutout"]:
        pixels = torch.arange(size, device=device)

        def band(shape: tuple[int, ...]) -> torch.Tensor:
            distance = pixels.view(shape) - draw(size, count, 1, 1, 1) + side // 2
            return (distance >= 0) & (distance < side)

        result = result.masked_fill(band((1, 1, 1, -1)) & band((1, 1, -1, 1)), 0)
    return result


def train(options: dict, data: dict, epochs: int, evaluate_at: list[int], seed: int) -> dict:
    torch.manual_seed(seed)
    (images, labels), (test_images, test_labels) = data["train"], data["test"]
    device, batch = images.device, options["batch"]
    on_gpu = device.type == "cuda"
    network = Network(options, images).to(device)
    steps = len(images) // batch
    optimizer = Optimizer(network, options, steps * epochs)
    random = torch.Generator(device=device).manual_seed(seed + 1)
    flips = torch.rand(len(images), device=device, generator=random) < 0.5
    inputs = torch.zeros(batch, *images.shape[1:], device=device).to(memory_format=torch.channels_last)
    targets = torch.zeros(batch, dtype=torch.long, device=device)
    loss_sum = torch.zeros((), device=device)

    def compute() -> None:
        optimizer.gradient.zero_()
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu, cache_enabled=False):
            outputs = network(inputs)
        loss = functional.cross_entropy(outputs, targets, label_smoothing=options["smoothing"])
        loss.backward()
        loss_sum.add_(loss.detach())
        optimizer.step()

    if on_gpu:
        kept, stream = [array.clone() for array in optimizer.state()], torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                compute()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            compute()
        for array, value in zip(optimizer.state(), kept):
            array.copy_(value)
    advance = graph.replay if on_gpu else compute

    @torch.no_grad()
    def accuracies(recent: torch.Tensor) -> list[float]:
        training_point = optimizer.y.clone()
        if options["optimizer"] != "nesterov":
            optimizer.y.copy_(optimizer.x)
        sums = [[], [], []]
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
            network.set_mode("gather")
            for first in range(0, min(50 * 128, len(recent) - batch + 1), batch):
                network(recent[first:first + batch])
            network.set_mode("use")
            padded = functional.pad(test_images, (1,) * 4, "reflect")
            for first in range(0, len(test_images), 2500):
                def pair(view: torch.Tensor) -> torch.Tensor:
                    part = view[first:first + 2500]
                    return network(part) + network(part.flip(3))
                plain, mirrored = network(test_images[first:first + 2500]), pair(test_images)
                moved = pair(padded[:, :, :-2, :-2]) + pair(padded[:, :, 2:, 2:])
                for one, logits in zip(sums, (plain, mirrored, mirrored / 2 + moved / 4)):
                    one.append(logits)
            network.set_mode("train")
        optimizer.y.copy_(training_point)
        return [round(100 * (torch.cat(one).argmax(1) == test_labels).float().mean().item(), 2) for one in sums]

    result, step = {}, 0
    for epoch in range(epochs):
        order = torch.randperm(len(images), device=device, generator=random)
        epoch_images = augmented(images, options, epoch, flips, random)[order].to(memory_format=torch.channels_last)
        epoch_labels = labels[order]
        loss_sum.zero_()
        for first in range(0, steps * batch, batch):
            inputs.copy_(epoch_images[first:first + batch])
            targets.copy_(epoch_labels[first:first + batch])
            optimizer.now.copy_(optimizer.table[step])
            advance()
            step += 1
        if epoch + 1 in evaluate_at:
            result[epoch + 1] = accuracies(epoch_images)
    return dict(accuracy=result, training_loss=round(loss_sum.item() / steps, 4))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of CIFAR-10's binary files")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="names, separated by commas; default: all")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--evaluate-at", default="6,7,8,10,12", help="epochs after which to evaluate")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--examples", type=int, help="so many of the training and of the test images only")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.variants.split(",") if name not in VARIANTS]
    if unknown:
        parser.error(f"no variant is called {unknown[0]}; there are: {', '.join(VARIANTS)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    data = {}
    for part in ("train", "test"):
        images, labels = cifar_reference.load_cifar10(arguments.data, part)
        images, labels = images[:arguments.examples], labels[:arguments.examples]
        data[part] = (cifar_reference.normalize(images).to(device), labels.to(device))
    for seed in range(arguments.seeds):
        for name in arguments.variants.split(","):
            start = time.monotonic()
            result = train({**RECIPE, **VARIANTS[name]}, data, arguments.epochs, [int(e) for e in arguments.evaluate_at.split(",")], seed)
            print(json.dumps(dict(variant=name, seed=seed, **result, seconds=round(time.monotonic() - start, 1))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
