"""The network: pure functions of tensors, and the ways in and out of a checkpoint folder."""

from vigil.model.model import VideoModel as VideoModel
from vigil.model.weights import load as load

__all__ = ["VideoModel", "load"]
