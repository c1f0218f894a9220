#!/usr/bin/env python3
"""Writes mnist-losses.json: what PyTorch computes in double precision from weights and images given by formulas.

    Tests/TrainingTests/Goldens/generate.py

The formulas are in Tests/Oracles/formula.py. Per step: global batch b is examples [128 b, 128 (b + 1)), normalised with
0.1307 and 0.3081, dropout off, AdamWScheduleFree at learning rate 0.0025; the loss is the mean over the batch at y,
before the update.

In the file: `losses`, of 20 steps; `float32_difference`, the largest relative difference of PyTorch's own float32 run
from them; `first_gradient_norms`, the Euclidean norm of each tensor's gradient of the first loss; `loss_at_x`, the mean
loss of the first batch at x after the last step; and `checks`, values of the formulas with which to test another
implementation of them.
"""

import json
import pathlib
import sys

folder = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(folder.parents[1] / "Oracles"))

import torch  # noqa: E402

from formula import formula_examples, formula_weights  # noqa: E402
from losses import GLOBAL_BATCH, LEARNING_RATE, Trajectory  # noqa: E402

STEPS = 20


def main() -> None:
    weights = formula_weights()
    images, labels = formula_examples(STEPS * GLOBAL_BATCH)
    run = Trajectory(weights, images, labels, STEPS)
    single = Trajectory(weights, images, labels, STEPS, torch.float32)
    golden = {
        "source": "Tests/TrainingTests/Goldens/generate.py",
        "global_batch": GLOBAL_BATCH,
        "learning_rate": LEARNING_RATE,
        "losses": run.losses,
        "float32_difference": max(abs(a - b) / b for a, b in zip(single.losses, run.losses)),
        "first_gradient_norms": run.first_gradient_norms,
        "loss_at_x": run.loss_at_x(GLOBAL_BATCH),
        "checks": {
            "first_labels": labels[:16].tolist(),
            "label_sum": int(labels.sum()),
            "first_image_row": images[0, 0].tolist(),
            "pixel_sum": int(images.long().sum()),
            "first_weights": {name: tensor.flatten()[:4].double().tolist() for name, tensor in weights.items()},
            "weight_sums": {name: tensor.double().sum().item() for name, tensor in weights.items()},
        },
    }
    (folder / "mnist-losses.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
