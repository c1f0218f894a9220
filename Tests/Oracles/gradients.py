#!/usr/bin/env python3
"""Loss, logits and every parameter's gradient of one batch in PyTorch, in double precision unless told otherwise.

    gradients.py --model resnet20 --weights initial.safetensors --batch batch.safetensors --output expected.safetensors

Training mode, so batch normalisation takes the batch's own statistics, with dropout off; the loss is the mean
cross-entropy. The file holds float32 tensors, rounded at the end: `loss` (one element), `logits` (N x 10), and the
gradients under the parameters' names. `freewheel gradients` takes the same flags and writes the same file.
"""

import argparse

import safetensors.torch
import torch
from torch.nn import functional

from tasks import TASKS, load_weights


def gradients(model: str, weights: dict[str, torch.Tensor], images: torch.Tensor, labels: torch.Tensor,
              dtype: torch.dtype = torch.float64, label_smoothing: float = 0) -> dict[str, torch.Tensor]:
    """`loss`, `logits` and the gradients by name, float32. With bfloat16, PyTorch's autocast runs the network."""
    network = TASKS[model].make(False).train()
    load_weights(network, weights)
    autocast = dtype == torch.bfloat16
    network = network.to(torch.float32 if autocast else dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = network(images.to(torch.float32 if autocast else dtype))
    loss = functional.cross_entropy(logits.float() if autocast else logits, labels, label_smoothing=label_smoothing)
    loss.backward()
    found = {"loss": loss.detach().reshape(1), "logits": logits.detach()}
    # What is not trained has no gradient here and zeros there.
    found |= {name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
              for name, parameter in network.named_parameters()}
    return {name: tensor.to(torch.float32).contiguous() for name, tensor in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", choices=TASKS, required=True, help="the network")
    parser.add_argument("--weights", required=True, metavar="FILE", help="weights, safetensors")
    parser.add_argument("--batch", required=True, metavar="FILE", help="images and labels, as batch.py writes them")
    parser.add_argument("--output", required=True, metavar="FILE", help="the safetensors file to write")
    parser.add_argument("--precision", choices=("float64", "float32", "bfloat16"), default="float64",
                        help="bfloat16 is autocast over float32 weights (default float64)")
    parser.add_argument("--label-smoothing", type=float, default=0, help="(default 0)")
    arguments = parser.parse_args()
    torch.backends.fp32_precision = "ieee"
    batch = safetensors.torch.load_file(arguments.batch)
    safetensors.torch.save_file(
        gradients(arguments.model, safetensors.torch.load_file(arguments.weights), batch["images"],
                  batch["labels"].long(), getattr(torch, arguments.precision), arguments.label_smoothing),
        arguments.output)


if __name__ == "__main__":
    main()
