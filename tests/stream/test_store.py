"""Shelves of the frame memory: what is put in comes out, exact or within the rounding of its codes.

Axes: F frames, P vision tokens of a frame, K key/value heads, S tokens of a shelf, H head channels, E entries.
"""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vigil.config import Storage, TextConfig
from vigil.model.rope import Turner, frequencies, rotate, rotation
from vigil.stream.store import CodedShelf, LayerStore, PlainShelf

K, H, P = 2, 8, 3
TEXT = TextConfig(width=16, num_heads=2, num_kv_heads=2, num_layers=1, cross_layers=(), rope_theta=100.0)
FREQ = frequencies(TEXT)
WEIGHT = torch.linspace(0.5, 2.0, H)
CODED: tuple[Storage, ...] = ("int8", "fp8")
STEP = {"int8": 1 / 254, "fp8": 1 / 16}
"""Largest error of a number: of the token's largest for int8, of itself for fp8 (3 bits of mantissa)."""


def shelf_of(storage: Storage, size: int, like: Tensor) -> PlainShelf | CodedShelf:
    return PlainShelf(size, like) if storage == "model" else CodedShelf(size, like, storage)


def bound(storage: Storage, x_KSH: Tensor) -> Tensor:
    """How far a decoded number may be off; the scale is rounded to 8 bits before, which costs nothing more."""
    largest = x_KSH.abs().amax(-1, keepdim=True)
    if storage == "int8":
        return largest * STEP["int8"] * 1.01
    return x_KSH.abs() * STEP["fp8"] + largest * 2**-16


@pytest.mark.parametrize("storage", get_args(Storage))
@given(parts=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_what_is_put_in_parts_comes_out_whole(storage: Storage, parts: list[int]) -> None:
    torch.manual_seed(sum(parts))
    x_KSH = torch.randn(K, sum(parts), H)
    shelf = shelf_of(storage, sum(parts) + 2, x_KSH[:, :0])
    at = 0
    for part in x_KSH.split(parts, dim=1):
        shelf.put(at, part)
        at += part.shape[1]
    error = (shelf.get(0, at) - x_KSH).abs()
    assert (error <= (0 if storage == "model" else bound(storage, x_KSH))).all()


@pytest.mark.parametrize("storage", CODED)
def test_a_token_of_large_numbers_costs_its_neighbours_nothing(storage: Storage) -> None:
    x_KSH = torch.randn(K, 2, H)
    x_KSH[:, 0] *= 1e4
    shelf = shelf_of(storage, 2, x_KSH)
    shelf.put(0, x_KSH)
    assert ((shelf.get(1, 2) - x_KSH[:, 1:]).abs() <= bound(storage, x_KSH)[:, 1:]).all()


@pytest.mark.parametrize("storage", CODED)
def test_zeros_and_tiny_and_huge_numbers_survive_coding(storage: Storage) -> None:
    x_KSH = torch.stack((torch.zeros(H), torch.full((H,), 1e-20), torch.full((H,), 3e4))).expand(K, 3, H)
    shelf = shelf_of(storage, 3, x_KSH)
    shelf.put(0, x_KSH)
    out = shelf.get(0, 3)
    assert out[:, 0].abs().max() == 0
    torch.testing.assert_close(out, x_KSH, rtol=0.01, atol=0)


@pytest.mark.parametrize("storage", get_args(Storage))
def test_packing_brings_places_to_the_front_in_the_order_asked_for(storage: Storage) -> None:
    x_KSH = torch.randn(K, 5, H)
    shelf = shelf_of(storage, 5, x_KSH)
    shelf.put(0, x_KSH)
    before = shelf.get(0, 5).clone()
    shelf.pack(torch.tensor([1, 3, 4]))
    assert torch.equal(shelf.get(0, 3), before[:, [1, 3, 4]])


def test_reading_a_plain_shelf_copies_nothing() -> None:
    shelf = PlainShelf(4, torch.zeros(K, 0, H))
    assert shelf.get(1, 3).data_ptr() == shelf.data_KSH[:, 1:].data_ptr()


@pytest.mark.parametrize(
    ("storage", "num_bytes"), [("model", K * 10 * H * 4), ("int8", K * 10 * (H + 2)), ("fp8", K * 10 * (H + 2))]
)
def test_a_shelf_holds_as_many_bytes_as_it_says(storage: Storage, num_bytes: int) -> None:
    assert shelf_of(storage, 10, torch.zeros(K, 0, H)).num_bytes == num_bytes
    assert shelf_of("model", 10, torch.zeros(K, 0, H, dtype=torch.bfloat16)).num_bytes == K * 10 * H * 2


# ---- one layer ------------------------------------------------------------------------------------------------------


def turner() -> Turner:
    return Turner(FREQ, (torch.ones(H), WEIGHT))


def filled(storage: Storage, frames_FKPH: Tensor, *, size: int = 8) -> LayerStore:
    """A store of the second cross layer, with frames in the places from 0 on. Values are keys plus 1."""
    store = LayerStore(1, storage, turner())
    store.reserve(size, frames_FKPH, range(0))
    store.write(0, frames_FKPH, frames_FKPH + 1)
    return store


def flat(frames_FKPH: Tensor) -> Tensor:
    """Shapes: [F, K, P, H] -> [K, F * P, H]."""
    return frames_FKPH.transpose(0, 1).flatten(1, 2)


def plain_average(keys_KNH: Tensor, values_KNH: Tensor, num_out: int) -> Tensor:
    return torch.eye(num_out).repeat(1, keys_KNH.shape[1] // num_out) * num_out / keys_KNH.shape[1]


def test_before_the_first_frame_there_is_nothing() -> None:
    store = LayerStore(0, "model", None)
    assert (store.num_bytes, store.per_entry) == (0, 0)
    assert [t.numel() for t in store.read(0, 0, [])] == [0, 0]


@pytest.mark.parametrize("storage", get_args(Storage))
def test_frames_are_read_in_order_with_the_type_they_came_in(storage: Storage) -> None:
    frames_FKPH = torch.randn(3, K, P, H).bfloat16()
    store = filled(storage, frames_FKPH)
    keys, values = store.read(1, 3, [0, 0])
    assert keys.dtype == values.dtype == torch.bfloat16
    atol = 0.0 if storage == "model" else 0.3
    torch.testing.assert_close(keys, flat(frames_FKPH)[:, P:], rtol=0, atol=atol)
    torch.testing.assert_close(values, flat(frames_FKPH + 1)[:, P:], rtol=0, atol=atol)
    assert store.per_entry == P


@pytest.mark.parametrize("storage", CODED)
def test_coded_keys_are_turned_when_they_are_read_and_stay_where_they_were(storage: Storage) -> None:
    bare_FKPH = torch.randn(2, K, P, H)
    store = filled(storage, bare_FKPH * WEIGHT)
    still, _ = store.read(0, 2, [0, 0])
    turned, _ = store.read(0, 2, [0, 5])
    assert torch.equal(turned[:, :P], still[:, :P])
    expected = rotate(bare_FKPH[1], rotation(FREQ, torch.tensor(5), torch.float32)) * WEIGHT
    torch.testing.assert_close(turned[:, P:], expected, rtol=0.1, atol=0.1)
    assert torch.equal(store.read(0, 2, [0, 0])[0], still)


def test_plain_keys_are_turned_once_and_for_all() -> None:
    bare_FKPH = torch.randn(2, K, P, H)
    store = filled("model", bare_FKPH * WEIGHT)
    store.turn(0, [0, 5])
    by = rotation(FREQ, torch.tensor(5), torch.float32)
    torch.testing.assert_close(store.read(1, 2, [0])[0], rotate(bare_FKPH[1], by) * WEIGHT, rtol=0, atol=1e-5)
    torch.testing.assert_close(store.read(0, 1, [0])[0], bare_FKPH[0] * WEIGHT, rtol=0, atol=1e-5)


@pytest.mark.parametrize("storage", get_args(Storage))
def test_a_larger_store_has_what_was_kept_of_the_old_one_at_its_front(storage: Storage) -> None:
    frames_FKPH = torch.randn(4, K, P, H)
    store = filled(storage, frames_FKPH, size=4)
    before = store.read(1, 3, [0, 0])
    store.reserve(9, frames_FKPH, range(1, 3))
    for old, new in zip(before, store.read(0, 2, [0, 0]), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0.0 if storage == "model" else 0.02)


@pytest.mark.parametrize("storage", get_args(Storage))
def test_what_an_entry_shows_is_its_values(storage: Storage) -> None:
    frames_FKPH = torch.randn(3, K, P, H)
    look_EC = filled(storage, frames_FKPH).look(1, 3)
    assert look_EC.shape == (2, K * P * H)
    expected = (frames_FKPH[1:] + 1).flatten(1)
    torch.testing.assert_close(look_EC, expected, rtol=0, atol=1e-6 if storage == "model" else 0.3)


@pytest.mark.parametrize("storage", get_args(Storage))
def test_joined_values_are_averaged_token_by_token_and_the_others_stay(storage: Storage) -> None:
    frames_FKPH = torch.randn(4, K, P, H)
    store = filled(storage, frames_FKPH)
    store.regroup([(0,), (1, 3)], [0, 0, 0, 0], plain_average)
    values = store.read(0, 2, [0, 0])[1]
    atol = 1e-5 if storage == "model" else 0.3
    torch.testing.assert_close(values[:, :P], frames_FKPH[0] + 1, rtol=0, atol=atol)
    torch.testing.assert_close(values[:, P:], (frames_FKPH[1] + frames_FKPH[3]) / 2 + 1, rtol=0, atol=atol)


def test_joined_keys_meet_where_the_newest_stood() -> None:
    """The same key written at two positions, joined at the second one, is that key at the second one."""
    bare_KPH = torch.randn(K, P, H)
    first, second = (rotate(bare_KPH, rotation(FREQ, torch.tensor(p), torch.float32)) * WEIGHT for p in (3, 9))
    store = filled("model", torch.stack((first, second)))
    store.regroup([(0, 1)], [6, 0], plain_average)
    torch.testing.assert_close(store.read(0, 1, [0])[0], second, rtol=0, atol=1e-4)
    unaware = filled("model", torch.stack((first, second)))
    unaware.regroup([(0, 1)], [0, 0], plain_average)
    assert (unaware.read(0, 1, [0])[0] - second).abs().max() > 0.1


def test_moving_joining_and_coding_want_a_turner() -> None:
    frames_FKPH = torch.randn(2, K, P, H)
    store = LayerStore(0, "model", None)
    store.reserve(2, frames_FKPH, range(0))
    store.write(0, frames_FKPH, frames_FKPH)
    for work in (lambda: store.turn(0, [1, 1]), lambda: store.regroup([(0, 1)], [0, 0], plain_average)):
        with pytest.raises(AssertionError, match="takes a Turner"):
            work()
