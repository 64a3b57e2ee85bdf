"""`--dry-run`: what a command would do, once its flags are found right. No weights are read, no camera is opened."""

from __future__ import annotations

from vigil.cli.lines import write_line
from vigil.config import ModelConfig, StreamConfig


def tell(command: str, **facts: str) -> None:
    """Print a plan, one fact a line."""
    write_line(f"vigil {command} would use")
    for name, fact in facts.items():
        write_line(f"  {name.replace('_', ' '):<9} {fact}")


def model_fact(name: str) -> tuple[str, ModelConfig | None]:
    """What is known of a model without its weights; no config for one that would have to be downloaded.

    Raises:
        ModelError: no such folder or name, or a config that is not understood.
    """
    import torch

    from vigil.model.model import VideoModel
    from vigil.model.weights import local_folder, read_config

    folder = local_folder(name)
    if folder is None:
        return f"{name}, after a download if it is not in the local hub cache", None
    config, _ = read_config(folder)
    with torch.device("meta"):
        num_parameters = sum(weight.numel() for weight in VideoModel(config).parameters())
    size = f"{num_parameters * 2 / 1e6:,.1f} MB in 16 bits"
    return f"{name}: {num_parameters / 1e6:,.1f} M parameters, {size}", config


def stream_fact(stream: StreamConfig, config: ModelConfig | None) -> str:
    """What one stream keeps, and what that costs where the model is known."""
    from vigil.stream.budget import budget_of

    what = f"{stream.fps:g} frames/s"
    if config is None:
        return what
    stream = stream.settled(config)
    kept = f"{stream.memory_frames} frames and {stream.text_tokens} text tokens"
    return f"{what}; keeps {kept}; frame memory {budget_of(config, stream).num_bytes / 1e6:,.1f} MB in 16 bits"


def source_fact(source: str, fps: float) -> str:
    """What a source is. A file is opened; a live address is only read, and shown without what may be a password.

    Raises:
        SourceError, MediaError: it cannot be opened or decoded, or is an address that may not be opened.
    """
    from vigil.stream.address import address_of
    from vigil.stream.source import open_source

    address = address_of(source)
    if address is not None:
        return f"{address.shown}, live"
    with open_source(source, fps=fps) as opened:
        return opened.name if opened.duration_s is None else f"{opened.name}, {opened.duration_s:.1f} s"
