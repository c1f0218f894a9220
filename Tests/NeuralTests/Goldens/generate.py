#!/usr/bin/env python3
"""Writes what PyTorch computes in double precision for small networks, one a layer: the goldens of the layer tests.

    Tests/NeuralTests/Goldens/generate.py            write the files
    Tests/NeuralTests/Goldens/generate.py --check    compare them with what PyTorch gives here, and write nothing

Each NAME.safetensors belongs to the network `NAME` below. Every network has something trainable in front of the layer
in question, so that the gradient with respect to the layer's input is tested too. All tensors are float32, row-major in
PyTorch's shapes; inputs, parameters and buffers are exactly what PyTorch computed with, the rest is rounded at the end.

    input               N x C x H x W
    labels              N whole numbers, as float32
    parameter.NAME      the parameters
    buffer.NAME         running statistics before the step (batch normalisation only)
    logits              N x CLASSES, in training mode, without dropout
    loss                one number: the SUM of the examples' cross-entropies
    smoothed_loss       one number: the same with label smoothing 0.1
    gradient.NAME       of smoothed_loss with respect to the parameter
    buffer_after.NAME   running statistics after the step (the variance that goes into them is divided by count - 1)
    evaluation_logits   N x CLASSES in evaluation mode, with buffer_after (batch normalisation only)

The files' metadata holds `network`, the layers in words. Inputs and parameters are random; of some seeds the one is
taken that keeps furthest from the kinks of ReLU and max-pooling.
"""

import argparse
import pathlib
import sys
from collections.abc import Callable

folder = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(folder.parents[1] / "Oracles"))

import safetensors  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from cifar_reference import TransformerBlock, sine_cosine_positions  # noqa: E402
from kinks import kink_margin  # noqa: E402

BATCH = 3
CLASSES = 3
IMAGE = (3, 7, 5)
PATCHED_IMAGE = (3, 6, 4)
PATCH = 2
PATCHES = (3, 2)  # rows and columns
LABEL_SMOOTHING = 0.1
SEEDS = 32
TOLERANCE = 1e-6


class Network(nn.Module):
    """Modules by name, and a function from them and a batch to logits."""

    def __init__(self, description: str, forward: Callable, image: tuple[int, int, int] = IMAGE,
                 **modules: nn.Module | nn.Parameter):
        super().__init__()
        self.description = description
        self.image = image
        self.function = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.function(self, images)


def relu(hidden: torch.Tensor) -> torch.Tensor:
    return functional.relu(hidden)


def classifier(features: int) -> nn.Linear:
    return nn.Linear(features, CLASSES)


def patch_embedding(width: int) -> nn.Conv2d:
    return nn.Conv2d(PATCHED_IMAGE[0], width, PATCH, stride=PATCH)


def patches(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """N x 6 x width: the patches in row-major order."""
    return network.patch_embedding(images).flatten(2).transpose(1, 2)


def attend(attention: nn.MultiheadAttention, tokens: torch.Tensor) -> torch.Tensor:
    return attention(tokens, tokens, tokens, need_weights=False)[0]


# The networks, by the names of their files

def batch_norm() -> Network:
    def forward(net, images):
        hidden = relu(net.bn1(net.conv1(images)))
        hidden = net.bn2(net.conv2(hidden))
        return net.fc(hidden.flatten(1))
    return Network(
        "conv1 3x3 3->5 padding 1 without bias; bn1; ReLU; conv2 3x3 5->19 without bias; bn2 with epsilon 1e-3 "
        "and momentum 0.3; flatten (19x5x3); fc", forward,
        conv1=nn.Conv2d(3, 5, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(5),
        conv2=nn.Conv2d(5, 19, 3, bias=False), bn2=nn.BatchNorm2d(19, eps=1e-3, momentum=0.3), fc=classifier(19 * 15))


def batch_norm_residual() -> Network:
    def forward(net, images):
        hidden = net.conv1(images)
        inner = net.bn3(net.conv3(relu(net.bn2(net.conv2(hidden)))))
        hidden = relu(inner + net.downsample(hidden))
        hidden = relu(net.bn4(net.conv4(hidden)) + hidden)
        return net.fc(hidden.flatten(1))
    return Network(
        "conv1 3x3 3->5 padding 1 with bias; residual [conv2 3x3 5->19 stride 2 padding 1 without bias; bn2; ReLU; "
        "conv3 3x3 19->19 padding 1 without bias; bn3] with shortcut [downsample.0 1x1 5->19 stride 2 without bias; "
        "downsample.1 batch norm]; ReLU; residual [conv4 1x1 19->19 without bias; bn4] with identity; ReLU; flatten "
        "(19x4x3); fc", forward,
        conv1=nn.Conv2d(3, 5, 3, padding=1), conv2=nn.Conv2d(5, 19, 3, 2, padding=1, bias=False),
        bn2=nn.BatchNorm2d(19), conv3=nn.Conv2d(19, 19, 3, padding=1, bias=False), bn3=nn.BatchNorm2d(19),
        downsample=nn.Sequential(nn.Conv2d(5, 19, 1, 2, bias=False), nn.BatchNorm2d(19)),
        conv4=nn.Conv2d(19, 19, 1, bias=False), bn4=nn.BatchNorm2d(19), fc=classifier(19 * 12))


def pre_activation() -> Network:
    def forward(net, images):
        activated = relu(net.bn1(net.conv1(images)))
        hidden = net.conv2(activated) + net.convShortcut(activated)
        hidden = net.conv3(relu(net.bn2(hidden))) + hidden
        return net.fc(relu(net.bn3(hidden)).mean((2, 3)))
    return Network(
        "conv1 3x3 3->5 padding 1 without bias; bn1; ReLU; residual [conv2 3x3 5->19 stride 2 padding 1 without bias] "
        "with shortcut [convShortcut 1x1 5->19 stride 2 without bias]; residual [bn2; ReLU; conv3 1x1 19->19 without "
        "bias] with identity; bn3; ReLU; global average pooling; fc", forward,
        conv1=nn.Conv2d(3, 5, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(5),
        conv2=nn.Conv2d(5, 19, 3, 2, padding=1, bias=False), convShortcut=nn.Conv2d(5, 19, 1, 2, bias=False),
        bn2=nn.BatchNorm2d(19), conv3=nn.Conv2d(19, 19, 1, bias=False), bn3=nn.BatchNorm2d(19), fc=classifier(19))


def average_pool() -> Network:
    def forward(net, images):
        hidden = functional.avg_pool2d(net.conv1(images), 2)
        hidden = functional.avg_pool2d(net.conv2(hidden), 3, 2, padding=1, count_include_pad=False)
        return net.fc(hidden.flatten(1))
    return Network(
        "conv1 3x3 3->5 padding 1 with bias; average pooling 2 (5x3x2: the last row and column drop out); conv2 3x3 "
        "5->19 padding 1 with bias; average pooling 3 stride 2 padding 1, padding not counted (19x2x1); flatten; fc",
        forward, conv1=nn.Conv2d(3, 5, 3, padding=1), conv2=nn.Conv2d(5, 19, 3, padding=1), fc=classifier(38))


def global_average_pool() -> Network:
    return Network(
        "conv1 3x3 3->19 padding 1 with bias; global average pooling; fc",
        lambda net, images: net.fc(net.conv1(images).mean((2, 3))),
        conv1=nn.Conv2d(3, 19, 3, padding=1), fc=classifier(19))


def activation(name: str, function: Callable[[torch.Tensor], torch.Tensor]) -> Network:
    return Network(
        f"conv1 3x3 3->5 with bias; {name}; flatten (5x5x3); fc1 75->19; {name}; fc",
        lambda net, images: net.fc(function(net.fc1(function(net.conv1(images)).flatten(1)))),
        conv1=nn.Conv2d(3, 5, 3), fc1=nn.Linear(75, 19), fc=classifier(19))


def grouped_convolution() -> Network:
    def forward(net, images):
        return net.fc(net.conv3(net.conv2(net.conv1(images))).flatten(1))
    return Network(
        "conv1 3x3 3->10 padding 1 with bias; conv2 3x3 10->15 groups 5 padding 1 with bias; conv3 3x3 15->15 groups "
        "15 stride 2 padding 1 without bias (15x4x3); flatten; fc", forward,
        conv1=nn.Conv2d(3, 10, 3, padding=1), conv2=nn.Conv2d(10, 15, 3, padding=1, groups=5),
        conv3=nn.Conv2d(15, 15, 3, 2, padding=1, groups=15, bias=False), fc=classifier(180))


def strided_convolution() -> Network:
    def forward(net, images):
        return net.fc(net.conv3(net.conv2(net.conv1(images))).flatten(1))
    return Network(
        "conv1 5x5 3->5 padding 2 with bias; conv2 3x3 5->19 stride 2 padding 1 with bias (19x4x3); conv3 1x1 19->5 "
        "stride 2 without bias (5x2x2); flatten; fc", forward,
        conv1=nn.Conv2d(3, 5, 5, padding=2), conv2=nn.Conv2d(5, 19, 3, 2, padding=1),
        conv3=nn.Conv2d(19, 5, 1, 2, bias=False), fc=classifier(20))


def max_pool() -> Network:
    def forward(net, images):
        hidden = functional.max_pool2d(net.conv1(images), 2)
        return net.fc(relu(net.conv2(hidden)).flatten(1))
    return Network(
        "conv1 3x3 3->5 padding 1 with bias; max-pooling 2 (5x3x2: the last row and column drop out); conv2 3x3 5->19 "
        "padding 1 with bias; ReLU; flatten; fc", forward,
        conv1=nn.Conv2d(3, 5, 3, padding=1), conv2=nn.Conv2d(5, 19, 3, padding=1), fc=classifier(114))


def scale() -> Network:
    return Network(
        "conv1 3x3 3->5 with bias; scale 0.125; flatten (5x5x3); fc; scale -1.75",
        lambda net, images: net.fc((net.conv1(images) * 0.125).flatten(1)) * -1.75,
        conv1=nn.Conv2d(3, 5, 3), fc=classifier(75))


def layer_norm() -> Network:
    return Network(
        "image 3x6x4; patch_embedding 2x2 3->19 with bias (6 tokens); norm: layer norm over 19 with epsilon 1e-6; "
        "flatten (6x19); fc", lambda net, images: net.fc(net.norm(patches(net, images)).flatten(1)), PATCHED_IMAGE,
        patch_embedding=patch_embedding(19), norm=nn.LayerNorm(19, eps=1e-6), fc=classifier(114))


def token_dense() -> Network:
    return Network(
        "image 3x6x4; patch_embedding 2x2 3->19 with bias (6 tokens); linear1 19->5 on every token; flatten (6x5); fc",
        lambda net, images: net.fc(net.linear1(patches(net, images)).flatten(1)), PATCHED_IMAGE,
        patch_embedding=patch_embedding(19), linear1=nn.Linear(19, 5), fc=classifier(30))


def sine_cosine() -> Network:
    # In float32, as the parameters are, so that both sides add the same numbers.
    positions = sine_cosine_positions(20, *PATCHES).float()

    def forward(net, images):
        embedded = patches(net, images) + positions.to(images)
        tokens = torch.cat([net.class_token.expand(len(images), -1, -1), embedded], dim=1)
        return net.fc(tokens.flatten(1))
    return Network(
        "image 3x6x4; patch_embedding 2x2 3->20 with bias (3x2 tokens); sine-cosine positions; class_token in front; "
        "flatten (7x20); fc", forward, PATCHED_IMAGE,
        patch_embedding=patch_embedding(20), class_token=nn.Parameter(torch.empty(1, 1, 20)), fc=classifier(140))


def learned_positions() -> Network:
    return Network(
        "image 3x6x4; patch_embedding 2x2 3->19 with bias (6 tokens); position_embedding [1, 6, 19] added; flatten "
        "(6x19); fc", lambda net, images: net.fc((patches(net, images) + net.position_embedding).flatten(1)),
        PATCHED_IMAGE, patch_embedding=patch_embedding(19), position_embedding=nn.Parameter(torch.empty(1, 6, 19)),
        fc=classifier(114))


def attention(width: int, heads: int) -> Network:
    return Network(
        f"image 3x6x4; patch_embedding 2x2 3->{width} with bias (6 tokens); attention: {heads} head(s) over {width}, "
        f"no residual; flatten (6x{width}); fc",
        lambda net, images: net.fc(attend(net.attention, patches(net, images)).flatten(1)), PATCHED_IMAGE,
        patch_embedding=patch_embedding(width), attention=nn.MultiheadAttention(width, heads, batch_first=True),
        fc=classifier(6 * width))


def transformer_block() -> Network:
    def forward(net, images):
        embedded = patches(net, images)
        tokens = torch.cat([net.class_token.expand(len(images), -1, -1), embedded], dim=1)
        return net.fc(net.blocks[1](net.blocks[0](tokens))[:, 0])
    return Network(
        "image 3x6x4; patch_embedding 2x2 3->20 with bias (6 tokens); class_token in front; blocks.0 and blocks.1: "
        "width 20, 4 heads, MLP 20->38->20 with GELU in tanh form, layer norms with epsilon 1e-6; the first token; fc",
        forward, PATCHED_IMAGE,
        patch_embedding=patch_embedding(20), class_token=nn.Parameter(torch.empty(1, 1, 20)),
        blocks=nn.ModuleList(TransformerBlock(20, 4, 38, dropout=0) for _ in range(2)), fc=classifier(20))


NETWORKS: dict[str, Callable[[], Network]] = {
    "batch-norm": batch_norm,
    "batch-norm-residual": batch_norm_residual,
    "pre-activation": pre_activation,
    "average-pool": average_pool,
    "global-average-pool": global_average_pool,
    "max-pool": max_pool,
    "gelu": lambda: activation("GELU", functional.gelu),
    "gelu-tanh": lambda: activation("GELU in tanh form", lambda u: functional.gelu(u, approximate="tanh")),
    "silu": lambda: activation("SiLU", functional.silu),
    "grouped-convolution": grouped_convolution,
    "strided-convolution": strided_convolution,
    "scale": scale,
    "layer-norm": layer_norm,
    "token-dense": token_dense,
    "sine-cosine-positions": sine_cosine,
    "learned-positions": learned_positions,
    "attention": lambda: attention(20, 4),
    "attention-one-head": lambda: attention(19, 1),
    "transformer-block": transformer_block,
}


def draw(network: Network, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gives every parameter and buffer random values that float32 holds exactly, and draws a batch."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1:  # biases, and the weights of normalisations around one
                centre = 1 if name.endswith("weight") else 0
                parameter.copy_((centre + 0.3 * normal(parameter.shape)).double())
            elif parameter.shape[0] == 1 and parameter.dim() == 3:  # tokens and positions
                parameter.copy_((0.5 * normal(parameter.shape)).double())
            else:
                parameter.copy_((normal(parameter.shape) / parameter[0].numel() ** 0.5).double())
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_((0.3 * normal(buffer.shape)).double())
            elif name.endswith("running_var"):
                buffer.copy_((0.5 + torch.rand(buffer.shape, generator=generator)).double())
    images = normal((BATCH, *network.image)).double()
    return images, torch.randint(0, CLASSES, (BATCH,), generator=generator)


def statistics(network: Network) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in network.named_buffers() if "running" in name}


def clearest_seed(make: Callable[[], Network]) -> int:
    """The seed whose forward pass keeps furthest from kinks; the first one where there are none."""
    margins = []
    for seed in range(SEEDS):
        network = make().double()
        images, _ = draw(network, seed)
        margins.append(kink_margin(network, images))
    return max(range(SEEDS), key=margins.__getitem__)


def golden(make: Callable[[], Network]) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of one file and the network in words."""
    seed = clearest_seed(make)
    network = make().double().train()
    images, labels = draw(network, seed)
    before = statistics(network)

    logits = network(images)
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    smoothed = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=LABEL_SMOOTHING)
    smoothed.backward()
    after = statistics(network)

    tensors = {"input": images, "labels": labels, "logits": logits, "loss": loss.reshape(1),
               "smoothed_loss": smoothed.reshape(1)}
    for name, parameter in network.named_parameters():
        tensors |= {f"parameter.{name}": parameter, f"gradient.{name}": parameter.grad}
    for name in before:
        tensors |= {f"buffer.{name}": before[name], f"buffer_after.{name}": after[name]}
    if before:
        tensors["evaluation_logits"] = network.eval()(images)
    return {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}, network.description


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the files there and write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    failures = 0
    for name, make in NETWORKS.items():
        tensors, description = golden(make)
        path = folder / f"{name}.safetensors"
        if not arguments.check:
            safetensors.torch.save_file(tensors, path, metadata={"network": description})
            continue
        there = safetensors.torch.load_file(path)
        if there.keys() != tensors.keys():
            print(f"{name}: other tensors")
            failures += 1
            continue
        worst = max(float((there[key] - value).abs().max() / value.abs().max().clamp(min=1e-30))
                    for key, value in tensors.items())
        print(f"{worst:.1e}  {name}")
        failures += worst > TOLERANCE
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
