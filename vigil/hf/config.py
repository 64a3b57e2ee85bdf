"""A model's config in the class that `transformers` asks for. The truth stays `ModelConfig`; this only carries it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from vigil.config import ModelConfig
from vigil.model.weights import own_config, parse_config


class VigilConfig(PretrainedConfig):
    """Carries a `ModelConfig` as `network`; what it saves is the `config.json` of our own layout.

    It reads every layout that `vigil.load` reads.
    """

    model_type = "vigil"

    def __init__(self, network: ModelConfig | None = None, **kwargs: Any) -> None:
        self.network = network or ModelConfig()
        text = self.network.text
        self.vocab_size, self.hidden_size = text.vocab_size, text.width  # as transformers looks for them
        self.num_hidden_layers, self.num_attention_heads = text.num_layers, text.num_heads
        super().__init__(**kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Any:
        """Read the `config.json` of a folder or hub name.

        Raises:
            ModelError: it is not understood. OSError: it is not found.
        """
        raw, kwargs = cls.get_config_dict(pretrained_model_name_or_path, **kwargs)
        return cls.from_dict(raw, **{"name_or_path": str(pretrained_model_name_or_path), **kwargs})

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Read what a `config.json` holds; the result is a `VigilConfig` whatever the layout.

        Raises:
            ModelError: it is not understood.
        """
        with_rest, name = kwargs.pop("return_unused_kwargs", False), str(kwargs.pop("name_or_path", ""))
        written = {key: value for key, value in config_dict.items() if key != "_commit_hash"}  # added by transformers
        network, _ = parse_config(written, name=Path(name).name or "the model")
        config = VigilConfig(network, name_or_path=name)
        rest = {key: value for key, value in kwargs.items() if key not in ("_from_auto", "_from_pipeline")}
        return (config, rest) if with_rest else config

    def to_dict(self) -> dict[str, Any]:
        """What `config.json` holds, as `vigil.model.weights.save` writes it."""
        return own_config(self.network)

    def to_diff_dict(self) -> dict[str, Any]:
        """The same: every value is spelled, so that a default that changes later changes no saved model."""
        return self.to_dict()


class ReleasedConfig(VigilConfig):
    """Lets `AutoConfig` read the released models' release names; what it reads is a `VigilConfig`.

    Their training names say `mllama`, which is transformers' own name for another network and stays so.
    """

    model_type = "video_mllama"
