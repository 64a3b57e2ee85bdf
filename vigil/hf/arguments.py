"""What callers may say when something is loaded. Nothing is ignored in silence."""

from __future__ import annotations

from typing import Any

import torch

from vigil.errors import ConfigError

DOWNLOAD = ("cache_dir", "force_download", "local_files_only", "revision", "token")
"""Handed on to the download of a hub name."""
NO_EFFECT = {
    "Auto classes and pipelines add them": (
        "_from_auto",
        "_from_pipeline",
        "_commit_hash",
        "adapter_kwargs",
        "use_fast",
    ),
    "always so: no code is loaded from a folder": ("trust_remote_code", "use_safetensors"),
    "of the weights, where a processor is loaded": ("dtype", "torch_dtype", "device_map"),
}


def download_of(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a download among those given.

    Raises:
        ConfigError: one of the others would have no effect.
    """
    known = {*DOWNLOAD, *(name for names in NO_EFFECT.values() for name in names)}
    unknown = sorted(name for name, value in given.items() if name not in known and value is not None)
    if unknown:
        raise ConfigError(f"vigil.hf has no use for {', '.join(unknown)}. A download takes {', '.join(DOWNLOAD)}.")
    return {name: given[name] for name in DOWNLOAD if name in given}


def dtype_of(given: torch.dtype | str | None) -> torch.dtype | None:
    """A dtype or its name; None, as "auto", stands for that of the stored weights.

    Raises:
        ConfigError: there is none of that name.
    """
    if given is None or given == "auto":
        return None
    found = getattr(torch, str(given).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise ConfigError(f'dtype must be a torch.dtype, its name, or "auto", got {given!r}.')
    return found


def device_of(device_map: Any) -> torch.device | None:
    """The one device that a device map names, the CPU without one; None, as "auto", stands for a GPU if there is one.

    Raises:
        ConfigError: it names several, or none that exists.
    """
    if device_map == "auto":
        return None
    try:
        whole = device_map[""] if isinstance(device_map, dict) and len(device_map) == 1 else device_map
        return torch.device("cpu" if whole is None else whole)
    except (RuntimeError, TypeError, KeyError) as error:
        raise ConfigError(f'device_map must be "auto" or one device, got {device_map!r}.') from error
