"""What the oracles and the PyTorch peer share: the MNIST network in PyTorch, IDX files, and normalisation.

The network is that of the schedule_free MNIST example (github.com/facebookresearch/schedule_free, examples/mnist):
conv 1->32 3x3, ReLU, conv 32->64 3x3, ReLU, max-pool 2, dropout 0.25, dense 9216->128, ReLU, dropout 0.5, dense
128->10. Its parameter names are those of Freewheel's model.safetensors.
"""

import gzip
import pathlib
import struct

import torch
from torch import nn
from torch.nn import functional

MEAN = 0.1307
STANDARD_DEVIATION = 0.3081
CLASS_COUNT = 10

IDX_UNSIGNED_BYTE = 0x08


class Network(nn.Module):
    """The network.

    `dropout_scale` multiplies both dropout probabilities, so 0 turns dropout off. `channels_last_pool_gradient` changes
    no value: flattening hands max-pooling a gradient in NCHW order, for which PyTorch copies the gradient of the
    largest activation twice where that is in NHWC order.
    """

    def __init__(self, dropout_scale: float = 1.0, channels_last_pool_gradient: bool = False):
        super().__init__()
        self.channels_last_pool_gradient = channels_last_pool_gradient
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1 = nn.Dropout(0.25 * dropout_scale)
        self.dropout2 = nn.Dropout(0.5 * dropout_scale)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, CLASS_COUNT)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, N x 10, of images N x 1 x 28 x 28. The loss is `functional.cross_entropy` of them."""
        hidden = functional.relu(self.conv1(images), inplace=True)
        hidden = functional.relu(self.conv2(hidden), inplace=True)
        hidden = functional.max_pool2d(hidden, 2)
        if self.channels_last_pool_gradient:
            hidden.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
        hidden = self.dropout1(hidden)
        hidden = functional.relu(self.fc1(torch.flatten(hidden, 1)), inplace=True)
        return self.fc2(self.dropout2(hidden))


class DataError(SystemExit):
    """A data file that is missing or not what its header says; uncaught, it ends the program with that line."""


def read_idx(path: pathlib.Path) -> torch.Tensor:
    """The unsigned bytes of one IDX file, plain or gzip, in the shape its header gives."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != IDX_UNSIGNED_BYTE:
        raise DataError(f"{path}: not an IDX file of unsigned bytes")
    dimension_count = content[3]
    header = 4 + 4 * dimension_count
    shape = struct.unpack(f">{dimension_count}I", content[4:header])
    values = torch.frombuffer(bytearray(content[header:]), dtype=torch.uint8)
    if values.numel() != torch.Size(shape).numel():
        raise DataError(f"{path}: the header says {shape}, but {values.numel()} bytes follow it")
    return values.reshape(shape)


def load_mnist(folder: str, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N x 28 x 28, bytes) and labels (N, int64) of `part`: "train" or "t10k"."""

    def find(name: str) -> pathlib.Path:
        for candidate in (pathlib.Path(folder, name), pathlib.Path(folder, name + ".gz")):
            if candidate.exists():
                return candidate
        raise DataError(f"{folder} holds neither {name} nor {name}.gz")

    images = read_idx(find(f"{part}-images-idx3-ubyte"))
    labels = read_idx(find(f"{part}-labels-idx1-ubyte")).long()
    if images.shape[0] != labels.shape[0]:
        raise DataError(f"{folder}: {images.shape[0]} images but {labels.shape[0]} labels")
    return images, labels


def normalize(images: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Bytes N x 28 x 28 to network input N x 1 x 28 x 28: (byte / 255 - mean) / standard deviation."""
    return (images.to(dtype).div_(255).sub_(MEAN).div_(STANDARD_DEVIATION)).unsqueeze(1)
