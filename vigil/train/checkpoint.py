"""Training state on disk: safetensors for tensors, JSON for numbers, and a rename so that a write is all or nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vigil.errors import CheckpointError


def save_state(
    path: Path, modules: dict[str, nn.Module], optimisers: list[torch.optim.Optimizer], meta: dict[str, Any]
) -> None:
    """Write modules, optimisers and numbers into one file, all or nothing."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors.update({f"{name}/{key}": value for key, value in module.state_dict().items()})
    for index, optimiser in enumerate(optimisers):
        for number, state in optimiser.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimiser{index}/{number}/{key}"] = torch.as_tensor(value)
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"meta": json.dumps(meta)})
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)


def load_state(path: Path, modules: dict[str, nn.Module], optimisers: list[torch.optim.Optimizer]) -> dict[str, Any]:
    """Read what `save_state` wrote into the same modules and optimisers; return the numbers.

    Raises:
        CheckpointError: the file is damaged, or belongs to another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            meta: dict[str, Any] = json.loads(file.metadata()["meta"])
        for name, module in modules.items():
            start = f"{name}/"
            module.load_state_dict({k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)})
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path.name} cannot be resumed: {error}. Delete it to start anew.") from error
    for index, optimiser in enumerate(optimisers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == f"optimiser{index}":
                number, _, key = rest.partition("/")
                state.setdefault(int(number), {})[key] = tensor
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
    return meta
