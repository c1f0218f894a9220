#!/usr/bin/env python3
"""Writes the golden trajectories that ScheduleFreeTests compare with, one JSON file per entry of CASES, next to this
script.

Needs the PyPI packages torch and schedulefree (the files here: torch 2.15.0, schedulefree 1.4.1). Everything is
float64.

Problem: the gradient at step t is A(y - b) + noise[t], at the point y the optimizer asks for; A is symmetric positive
definite. Per step, after the step: y, z and x of a schedule-free method with the counters lr_max and weight_sum, or p
of another one, and the learning rate of that step.
"""
import json
import math
import pathlib

import schedulefree
import torch

STEPS = 24
SIZE = 5

CASES = {
    "sgd-schedulefree-defaults": ("SGDScheduleFree", {}),
    "sgd-schedulefree-all": (
        "SGDScheduleFree",
        {"lr": 0.4, "momentum": 0.75, "weight_decay": 0.03, "warmup_steps": 7, "r": 0.5, "weight_lr_power": 1.5},
    ),
    "adamw-schedulefree-defaults": ("AdamWScheduleFree", {}),
    "adamw-schedulefree-all": (
        "AdamWScheduleFree",
        {
            "lr": 0.04, "betas": [0.95, 0.98], "eps": 1e-6, "weight_decay": 0.2, "warmup_steps": 5, "r": 1.0,
            "weight_lr_power": 1.0,
        },
    ),
    "adamw-defaults": ("AdamW", {}),
    "adamw-cosine-warmup": (
        "AdamW",
        {
            "lr": 0.05, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.1, "schedule": "cosine", "warmup_steps": 4,
            "total_steps": STEPS,
        },
    ),
    "sgd-linear-warmup-nesterov": (
        "SGD",
        {
            "lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05, "schedule": "linear",
            "warmup_steps": 3, "total_steps": STEPS,
        },
    ),
    "sgd-plain-past-the-end": (
        "SGD",
        {"lr": 0.1, "momentum": 0.0, "schedule": "cosine", "total_steps": STEPS - 4},
    ),
}


def factor(schedule, warmup, total, k):
    """The learning rate's factor at step k, counted from 0."""
    if k < warmup:
        return (k + 1) / warmup
    if schedule == "constant":
        return 1.0
    progress = min(1.0, (k - warmup) / (total - warmup))
    return 1 - progress if schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2


def problem(seed):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    root = draw(SIZE, SIZE)
    return {
        "p0": draw(SIZE), "A": root @ root.T / SIZE + 0.1 * torch.eye(SIZE, dtype=torch.float64), "b": draw(SIZE),
        "noise": 0.1 * draw(STEPS, SIZE),
    }


def run(optimizer, hyperparameters, task):
    parameters = torch.nn.Parameter(task["p0"].clone())
    arguments = dict(hyperparameters)
    if "betas" in arguments:
        arguments["betas"] = tuple(arguments["betas"])
    is_schedule_free = optimizer.endswith("ScheduleFree")
    scheduler = None
    if is_schedule_free:
        method = getattr(schedulefree, optimizer)([parameters], **arguments)
        method.train()
    else:
        schedule = arguments.pop("schedule", "constant")
        warmup, total = arguments.pop("warmup_steps", 0), arguments.pop("total_steps", 0)
        method = getattr(torch.optim, optimizer)([parameters], **arguments)
        scheduler = torch.optim.lr_scheduler.LambdaLR(method, lambda k: factor(schedule, warmup, total, k))
    steps = []
    for noise in task["noise"]:
        parameters.grad = task["A"] @ (parameters.detach() - task["b"]) + noise
        record = {"scheduled_lr": method.param_groups[0]["lr"]}
        method.step()
        group = method.param_groups[0]
        if is_schedule_free:
            record |= {key: group[key] for key in ("scheduled_lr", "lr_max", "weight_sum")}
            record |= {"y": parameters.tolist(), "z": method.state[parameters]["z"].tolist()}
            method.eval()
            record["x"] = parameters.tolist()
            # Back to exactly the y it was: method.train() would recover it from x, with a rounding error of its own.
            with torch.no_grad():
                parameters.copy_(torch.tensor(record["y"], dtype=torch.float64))
            group["train_mode"] = True
        else:
            record["p"] = parameters.tolist()
            scheduler.step()
        steps.append(record)
    return steps


def main():
    folder = pathlib.Path(__file__).parent
    for seed, (name, (optimizer, hyperparameters)) in enumerate(CASES.items()):
        task = problem(seed)
        golden = {
            "name": name,
            "source": f"torch {torch.__version__.split('+')[0]}, schedulefree 1.4.1",
            "optimizer": optimizer,
            "hyperparameters": hyperparameters,
            "problem": {key: value.tolist() for key, value in task.items()},
            "steps": run(optimizer, hyperparameters, task),
        }
        with open(folder / f"{name}.json", "w") as file:
            json.dump(golden, file)
            file.write("\n")


if __name__ == "__main__":
    main()
