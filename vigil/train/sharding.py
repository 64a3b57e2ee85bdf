"""A model over several processes: FSDP2, recomputed layers, and checkpoints that any number of processes can read.

Sources: torch.distributed.fsdp.fully_shard, torch.distributed.checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint

from vigil.errors import CheckpointError
from vigil.model.decoder import CrossLayer, SelfLayer
from vigil.model.vision import EncoderLayer

POINTER = "state.json"


def layers(model: nn.Module) -> Iterator[nn.Module]:
    """The transformer layers: what is recomputed and, cross layers aside, what is gathered one at a time."""
    return (module for module in model.modules() if isinstance(module, (SelfLayer, CrossLayer, EncoderLayer)))


def recompute(model: nn.Module) -> None:
    """Keep only the input of each layer for the backward pass, and compute the rest again."""
    for layer in layers(model):
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)


def shard(root: nn.Module, *, device: torch.device, bf16: bool) -> None:
    """Split all parameters of `root` over the processes.

    A cross layer's attention is written on one path and read on another, not by one call, so it stays in the root's
    group, which is whole from the start of the forward pass to the end of the backward pass; its feed-forward does not.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    policy = policy if bf16 else MixedPrecisionPolicy()
    for layer in layers(root):
        fully_shard(layer.mlp if isinstance(layer, CrossLayer) else layer, mesh=mesh, mp_policy=policy)
    fully_shard(root, mesh=mesh, mp_policy=policy)


def fill(root: nn.Module, full: dict[str, Any], device: torch.device) -> None:
    """Give an empty, sharded module its weights from process 0; elsewhere `full` is empty."""
    root.to_empty(device=device)
    set_model_state_dict(root, full, options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))


def whole_weights(root: nn.Module) -> dict[str, Any]:
    """All weights on the CPU of process 0; empty elsewhere. Every process must call it."""
    return get_model_state_dict(root, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def save_state(folder: Path, root: nn.Module, optimiser: torch.optim.Optimizer, meta: dict[str, Any]) -> None:
    """Write weights, optimiser and numbers. A run that is killed meanwhile still has the state before.

    The pointer file is replaced last, in one move; only then the older state is removed.
    """
    name = f"state-{meta['stage']}-{meta['step']:08d}"
    with _alone():
        save(_state(root, optimiser), checkpoint_id=folder / name)
    if rank() == 0:
        partial_file = folder / f"{POINTER}.partial"
        with partial_file.open("w", encoding="utf-8") as file:
            json.dump({**meta, "folder": name}, file)
            file.flush()
            os.fsync(file.fileno())
        partial_file.replace(folder / POINTER)
        for old in folder.glob("state-*"):
            if old.name != name:
                shutil.rmtree(old)
    barrier()


def read_meta(folder: Path) -> dict[str, Any] | None:
    """The numbers of a folder's state; None if there is none.

    Raises:
        CheckpointError: the pointer file is damaged.
    """
    path = folder / POINTER
    if not path.is_file():
        return None
    try:
        meta: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = (meta["stage"], meta["step"], meta["folder"], meta["run"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path.name} cannot be resumed: {error}. Delete it to start anew.") from error
    return meta


def load_state(folder: Path, root: nn.Module, optimiser: torch.optim.Optimizer, meta: dict[str, Any]) -> None:
    """Read what `save_state` wrote, on any number of processes.

    Raises:
        CheckpointError: the state is damaged, or belongs to another model.
    """
    state = _state(root, optimiser)
    try:
        with _alone():
            load(state, checkpoint_id=folder / str(meta["folder"]))
    except (CheckpointException, RuntimeError, OSError, KeyError) as error:
        why = str(error).splitlines()[0]
        raise CheckpointError(f"{meta['folder']} cannot be resumed: {why} Delete {POINTER} to start anew.") from error
    set_model_state_dict(root, state["model"])
    set_optimizer_state_dict(root, optimiser, state["optimiser"])


def _state(root: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    return {"model": get_model_state_dict(root), "optimiser": get_optimizer_state_dict(root, optimiser)}


@contextmanager
def _alone() -> Iterator[None]:
    """Keep torch from warning where one process without a group is meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def rank() -> int:
    """Number of this process."""
    return dist.get_rank() if dist.is_initialized() else 0


def num_ranks() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait for the other processes."""
    if num_ranks() > 1:
        dist.barrier()
