"""What a run writes down: reports in `train.jsonl`, unusable examples in `skipped.jsonl`, and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.errors import ConfigError
from vigil.train.mixture import Skip

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Journal:
    """The logs of one run's folder. A run that goes on from an earlier step forgets what it will write again."""

    def __init__(self, folder: Path, stage: str, *, first_step: int, tensorboard: bool = False) -> None:
        """Open the logs.

        Raises:
            ConfigError: tensorboard is asked for and not installed.
        """
        self._stage = stage
        self._log, self._skipped = folder / "train.jsonl", folder / "skipped.jsonl"
        self.num_skipped = 0
        for path in (self._log, self._skipped):
            self._forget(path, first_step)
        self._board: SummaryWriter | None = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ConfigError('--tensorboard wants tensorboard. Run pip install "vigil-video[train]".') from error
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1)

    def _forget(self, path: Path, first_step: int) -> None:
        if not path.is_file():
            return
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        kept = [row for row in rows if row["stage"] != self._stage or row["step"] <= first_step]
        path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        if path == self._skipped:
            self.num_skipped = sum(row["stage"] == self._stage for row in kept)

    def report(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write how a step went; steps count from 1."""
        _append(self._log, [{"stage": self._stage, "step": step, **numbers}])
        if self._board is not None:
            for name, number in numbers.items():
                self._board.add_scalar(f"{self._stage}/{name}", number, step)

    def skip(self, step: int, skipped: Sequence[Skip]) -> None:
        """Name the examples that could not be used."""
        self.num_skipped += len(skipped)
        _append(self._skipped, [{"stage": self._stage, "step": step, **asdict(skip)} for skip in skipped])

    def close(self) -> None:
        """Write what is still held back."""
        if self._board is not None:
            self._board.close()


def _append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
