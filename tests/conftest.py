"""Shared by all tests: one thread for torch, and hypothesis draws the same examples on every run."""

from __future__ import annotations

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("same-every-run", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("same-every-run")
