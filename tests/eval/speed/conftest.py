"""A machine is measured in no time here: with little memory and small matrices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vigil.eval.speed import machine


@pytest.fixture(scope="session", autouse=True)
def _quick_machine() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(machine.READ_BYTES, "cpu", 1 << 20)
        patch.setitem(machine.MATMUL_SIDE, "cpu", 64)
        yield
