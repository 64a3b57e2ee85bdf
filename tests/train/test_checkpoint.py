"""Training state on disk: what is saved comes back bit for bit, and what does not fit is one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from vigil.errors import CheckpointError
from vigil.train.checkpoint import load_state, save_state
from vigil.train.optim import Muon


def parts(seed: int) -> tuple[dict[str, nn.Module], list[torch.optim.Optimizer]]:
    """Two modules, and two optimisers with some steps behind them."""
    torch.manual_seed(seed)
    modules: dict[str, nn.Module] = {"model": nn.Linear(4, 3), "heads": nn.Linear(2, 2, bias=False)}
    matrix, rest = modules["model"].weight, [modules["model"].bias, modules["heads"].weight]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=0.1), Muon([matrix], lr=0.1)]
    for _ in range(3):
        step(modules, optimisers)
    return modules, optimisers


def step(modules: dict[str, nn.Module], optimisers: list[torch.optim.Optimizer]) -> None:
    loss = modules["model"](torch.ones(1, 4)).square().sum() + modules["heads"](torch.ones(1, 2)).square().sum()
    for optimiser in optimisers:
        optimiser.zero_grad()
    loss.backward()
    for optimiser in optimisers:
        optimiser.step()


def weights(modules: dict[str, nn.Module]) -> list[torch.Tensor]:
    return [weight.detach().clone() for module in modules.values() for weight in module.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_run_goes_on_from_its_state_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    modules, optimisers = parts(0)
    save_state(path, modules, optimisers, {"stage": 2, "step": 17})
    for _ in range(2):
        step(modules, optimisers)
    other, others = parts(1)
    assert not same(weights(modules), weights(other))
    assert load_state(path, other, others) == {"stage": 2, "step": 17}
    for _ in range(2):
        step(other, others)
    assert same(weights(modules), weights(other))


def test_without_its_optimisers_a_run_would_go_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    modules, optimisers = parts(0)
    save_state(path, modules, optimisers, {})
    step(modules, optimisers)
    other, others = parts(1)
    load_state(path, other, [])
    step(other, others)
    assert not same(weights(modules), weights(other))


def test_what_was_there_before_stays_until_the_new_state_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    modules, _ = parts(0)
    save_state(path, modules, [], {"step": 1})

    def full(fd: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("vigil.train.checkpoint.os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_state(path, parts(1)[0], [], {"step": 2})
    found, _ = parts(2)
    assert load_state(path, found, []) == {"step": 1}
    assert same(weights(found), weights(modules))


@pytest.mark.parametrize("kept", [0, 10, 200])
def test_a_damaged_file_says_what_to_do(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    modules, optimisers = parts(0)
    save_state(path, modules, optimisers, {"step": 1})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"state\.safetensors cannot be resumed: .*Delete it to start anew"):
        load_state(path, modules, optimisers)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": nn.Linear(5, 3)}, "size mismatch for weight"),
        ({"model": nn.Linear(4, 3, bias=False)}, "Unexpected key"),
        ({"other": nn.Linear(4, 3)}, "Missing key"),
    ],
    ids=["another-size", "fewer-weights", "another-name"],
)
def test_the_state_of_another_model_is_refused(changed: dict[str, nn.Module], message: str, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    modules, _ = parts(0)
    save_state(path, modules, [], {"step": 1})
    with pytest.raises(CheckpointError) as caught:
        load_state(path, changed, [])
    assert message in str(caught.value)


def test_types_and_odd_layouts_of_weights_survive(tmp_path: Path) -> None:
    path, module = tmp_path / "state.safetensors", nn.Linear(4, 3).bfloat16()
    module.weight.data = torch.randn(4, 3).bfloat16().T
    assert not module.weight.is_contiguous()
    save_state(path, {"m": module}, [], {})
    found = nn.Linear(4, 3).bfloat16()
    load_state(path, {"m": found}, [])
    assert torch.equal(found.weight, module.weight)
