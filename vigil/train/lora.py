"""Low-rank adapters through peft (extra `lora`): put in before training, merged into the weights at its end.

Source: LoRA (arXiv 2106.09685).
"""

from __future__ import annotations

import torch
from torch import nn

from vigil.errors import ConfigError
from vigil.model.model import VideoModel

TARGETS = r"decoder\.layers\.\d+\.(self_attn|cross_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"
"""The decoder's matrices."""


def add_lora(model: VideoModel, rank: int, *, seed: int = 0) -> None:
    """Put adapters beside the decoder's matrices and freeze the rest. They begin at zero: the model is unchanged.

    Args:
        seed: of the adapters' other halves, which begin at random.

    Raises:
        ConfigError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError('--lora wants peft. Run pip install "vigil-video[lora]".') from error
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS, bias="none"), model)


def merge_lora(model: VideoModel) -> None:
    """Add the adapters to the weights they stand beside, and take them out."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                whole = child.get_base_layer()
                assert isinstance(whole, nn.Module)
                setattr(parent, name, whole)
