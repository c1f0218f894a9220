"""The CIFAR-10 networks in PyTorch, the reader of CIFAR-10's binary files, and the normalisation of its images.

`make(name)` gives one of `MODELS`. Parameter and buffer names are those of Freewheel's model.safetensors, initial
values are PyTorch's defaults (and a class token with standard deviation 0.02).
"""

import math
import pathlib

import torch
from torch import nn
from torch.nn import functional

from mnist_reference import CLASS_COUNT, DataError

IMAGE_SHAPE = (3, 32, 32)
MEAN = (0.4914, 0.4822, 0.4465)
STANDARD_DEVIATION = (0.2470, 0.2435, 0.2616)


# Residual networks

def convolution3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input goes, by a 1x1 convolution where the shape changes
    (He et al., "Deep Residual Learning for Image Recognition", 2015)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = convolution3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = convolution3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        shortcut = hidden if self.downsample is None else self.downsample(hidden)
        hidden = functional.relu(self.bn1(self.conv1(hidden)), inplace=True)
        return functional.relu(self.bn2(self.conv2(hidden)) + shortcut, inplace=True)


class ResNet(nn.Module):
    """A 3x3 stem without pooling, stages of `blocks` basic blocks with the given widths, each but the first at stride
    2, global average pooling, and a classifier."""

    def __init__(self, widths: tuple[int, ...], blocks: int):
        super().__init__()
        self.conv1 = convolution3x3(IMAGE_SHAPE[0], widths[0])
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.stages = [f"layer{number + 1}" for number in range(len(widths))]
        inputs = widths[0]
        for number, (stage, width) in enumerate(zip(self.stages, widths)):
            members = []
            for index in range(blocks):
                members.append(BasicBlock(inputs, width, stride=2 if number > 0 and index == 0 else 1))
                inputs = width
            self.add_module(stage, nn.Sequential(*members))
        self.fc = nn.Linear(inputs, CLASS_COUNT)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        for stage in self.stages:
            hidden = self.get_submodule(stage)(hidden)
        return self.fc(hidden.mean((2, 3)))


class WideBlock(nn.Module):
    """A pre-activation block (Zagoruyko and Komodakis, "Wide Residual Networks", 2016). Where the shape changes, the
    shortcut is a 1x1 convolution of the activated input."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = convolution3x3(inputs, outputs, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = convolution3x3(outputs, outputs)
        self.convShortcut = None
        if stride != 1 or inputs != outputs:
            self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        activated = functional.relu(self.bn1(hidden), inplace=True)
        shortcut = hidden if self.convShortcut is None else self.convShortcut(activated)
        inner = functional.relu(self.bn2(self.conv1(activated)), inplace=True)
        return self.conv2(inner) + shortcut


class WideStage(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, blocks: int):
        super().__init__()
        self.layer = nn.Sequential(*(
            WideBlock(inputs if index == 0 else outputs, outputs, stride if index == 0 else 1)
            for index in range(blocks)))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.layer(hidden)


class WideResNet(nn.Module):
    """A wide residual network of depth 6 `blocks` + 4."""

    def __init__(self, blocks: int, widening: int):
        super().__init__()
        widths = [16 * widening, 32 * widening, 64 * widening]
        self.conv1 = convolution3x3(IMAGE_SHAPE[0], 16)
        self.block1 = WideStage(16, widths[0], 1, blocks)
        self.block2 = WideStage(widths[0], widths[1], 2, blocks)
        self.block3 = WideStage(widths[1], widths[2], 2, blocks)
        self.bn1 = nn.BatchNorm2d(widths[2])
        self.fc = nn.Linear(widths[2], CLASS_COUNT)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.block3(self.block2(self.block1(self.conv1(images))))
        return self.fc(functional.relu(self.bn1(hidden), inplace=True).mean((2, 3)))


# ResNet-9

class ConvolutionBlock(nn.Module):
    """3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = convolution3x3(inputs, outputs)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(hidden)), inplace=True)


class PooledStage(ConvolutionBlock):
    """A convolution block, max-pooling 2, and, if told so, two more blocks around which their input goes."""

    def __init__(self, inputs: int, outputs: int, residual: bool):
        super().__init__(inputs, outputs)
        self.residual = None
        if residual:
            self.residual = nn.Sequential(ConvolutionBlock(outputs, outputs), ConvolutionBlock(outputs, outputs))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = functional.max_pool2d(super().forward(hidden), 2)
        return hidden if self.residual is None else hidden + self.residual(hidden)


class ResNet9(nn.Module):
    """The shallow wide network of the DAWNBench entries on CIFAR-10 (Page, "How to Train Your ResNet", 2018)."""

    LOGIT_SCALE = 0.125

    def __init__(self):
        super().__init__()
        self.prep = ConvolutionBlock(IMAGE_SHAPE[0], 64)
        self.layer1 = PooledStage(64, 128, residual=True)
        self.layer2 = PooledStage(128, 256, residual=False)
        self.layer3 = PooledStage(256, 512, residual=True)
        self.fc = nn.Linear(512, CLASS_COUNT, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.layer3(self.layer2(self.layer1(self.prep(images))))
        return self.fc(torch.flatten(functional.max_pool2d(hidden, 4), 1)) * self.LOGIT_SCALE


# Vision transformer

def sine_cosine_positions(width: int, rows: int, columns: int) -> torch.Tensor:
    """Fixed two-dimensional positions, (rows * columns) x width in float64, of patches in row-major order.

    The first half of the channels belongs to the patch's column, the second to its row. In each half, with q = width/4
    and the frequencies w_i = 10000^(-i/q), the first q channels are sin(position w_i), the others cos(position w_i).
    """
    quarter = width // 4
    if width % 4 != 0:
        raise ValueError(f"the width of sine-cosine positions is {width}; it must be a multiple of 4")
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)

    def encode(positions: torch.Tensor) -> torch.Tensor:
        angles = torch.outer(positions, frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    row, column = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij")
    return torch.cat([encode(column.flatten()), encode(row.flatten())], dim=1)


class TransformerBlock(nn.Module):
    """A pre-normalisation transformer block: x += attention(norm1(x)); x += MLP(norm2(x)), with GELU in tanh form."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        normalised = self.norm1(tokens)
        tokens = tokens + self.attention(normalised, normalised, normalised, need_weights=False)[0]
        inner = self.dropout(functional.gelu(self.linear1(self.norm2(tokens)), approximate="tanh"))
        return tokens + self.dropout(self.linear2(inner))


class VisionTransformer(nn.Module):
    """Patches with sine-cosine positions behind a class token, transformer blocks, and a classifier on the token."""

    def __init__(self, width: int = 128, patch: int = 8, depth: int = 4, heads: int = 4, expansion: int = 2,
                 dropout: float = 0.3):
        super().__init__()
        self.patch_embedding = nn.Conv2d(IMAGE_SHAPE[0], width, patch, stride=patch)
        rows, columns = IMAGE_SHAPE[1] // patch, IMAGE_SHAPE[2] // patch
        self.register_buffer("positions", sine_cosine_positions(width, rows, columns).float(), persistent=False)
        self.class_token = nn.Parameter(torch.empty(1, 1, width).normal_(std=0.02))
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, expansion * width, dropout) for _ in range(depth))
        self.fc = nn.Linear(width, CLASS_COUNT)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)
        # Under autocast the patches are bfloat16, and so are all tokens then, which is faster than float32 ones.
        patches = patches + self.positions.to(patches.dtype)
        token = self.class_token.to(patches.dtype).expand(len(patches), -1, -1)
        tokens = torch.cat([token, patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.fc(tokens[:, 0])


class WhitenedBlock(nn.Module):
    """Convolution, max-pooling, normalisation, GELU; then convolutions with normalisation and GELU, each added to what
    it reads."""

    def __init__(self, inputs: int, outputs: int, convolutions: int):
        super().__init__()
        self.convolutions = convolutions
        for number in range(1, convolutions + 1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs if number == 1 else outputs, outputs, 3, padding=1, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = functional.gelu(self.bn1(functional.max_pool2d(self.conv1(images), 2)), approximate="tanh")
        for number in range(2, self.convolutions + 1):
            convolution, normalisation = getattr(self, f"conv{number}"), getattr(self, f"bn{number}")
            images = images + functional.gelu(normalisation(convolution(images)), approximate="tanh")
        return images


class WhitenedNet(nn.Module):
    """The network of the recipe 'fast': a first layer of fixed filters, three blocks, and a classifier (after Jordan,
    "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024). The filters are random here: they change no timing."""

    def __init__(self, widths: tuple[int, ...] = (64, 256, 256)):
        super().__init__()
        self.whiten = nn.Conv2d(IMAGE_SHAPE[0], 32, 3, padding=1, bias=False)
        self.whiten.weight.requires_grad_(False)
        inputs = (32, *widths)
        for index, width in enumerate(widths):
            setattr(self, f"block{index + 1}", WhitenedBlock(inputs[index], width, 4 if index == 2 else 2))
        self.fc = nn.Linear(widths[-1], CLASS_COUNT, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = functional.gelu(self.whiten(images), approximate="tanh")
        images = self.block3(self.block2(self.block1(images)))
        return self.fc(functional.max_pool2d(images, 4).flatten(1)) / 9


MODELS = {
    "resnet20": lambda dropout: ResNet((16, 32, 64), blocks=3),
    "resnet18": lambda dropout: ResNet((64, 128, 256, 512), blocks=2),
    "wrn-16-8": lambda dropout: WideResNet(blocks=2, widening=8),
    "resnet9": lambda dropout: ResNet9(),
    "vit-tiny": lambda dropout: VisionTransformer(dropout=dropout),
    "whitened": lambda dropout: WhitenedNet(),
}


def make(name: str, dropout: float = 0.3) -> nn.Module:
    """The network `name` of `MODELS`, with PyTorch's initial weights. Only vit-tiny has dropout."""
    if name not in MODELS:
        raise ValueError(f"no network is called {name}; there are {', '.join(MODELS)}")
    return MODELS[name](dropout)


# CIFAR-10's binary files: records of one byte of label and 3 x 32 x 32 bytes of image, planes in the order R, G, B

RECORD = 1 + math.prod(IMAGE_SHAPE)
FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}


def read_records(path: pathlib.Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N x 3 x 32 x 32, bytes) and labels (N, int64) of one file."""
    if not path.exists():
        raise DataError(f"{path} does not exist")
    content = path.read_bytes()
    if not content or len(content) % RECORD != 0:
        raise DataError(f"{path}: {len(content)} bytes are no whole number of records of {RECORD}")
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(-1, RECORD)
    labels = records[:, 0].long()
    if int(labels.max()) >= CLASS_COUNT:
        raise DataError(f"{path}: a label is {int(labels.max())}; labels are 0 to {CLASS_COUNT - 1}")
    return records[:, 1:].reshape(-1, *IMAGE_SHAPE), labels


def load_cifar10(folder: str, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N x 3 x 32 x 32, bytes) and labels (N, int64) of `part`, "train" or "test", from the folder that holds
    the binary files or holds `cifar-10-batches-bin`."""
    nested = pathlib.Path(folder, "cifar-10-batches-bin")
    source = nested if nested.is_dir() else pathlib.Path(folder)
    images, labels = zip(*(read_records(source / name) for name in FILES[part]))
    return torch.cat(images), torch.cat(labels)


def normalize(images: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Bytes to network input, by channel: (byte / 255 - mean) / standard deviation."""
    mean = torch.tensor(MEAN, dtype=dtype).reshape(3, 1, 1)
    deviation = torch.tensor(STANDARD_DEVIATION, dtype=dtype).reshape(3, 1, 1)
    return images.to(dtype).div_(255).sub_(mean).div_(deviation)
