"""The folder of a run that can be cut short: it holds one setting, so that what is read back fits what is run anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vigil.errors import ConfigError, OutputError


def open_folder(folder: Path, setting: Mapping[str, Any]) -> None:
    """Make a run's folder with its setting, or go on in one that has the same.

    Raises:
        ConfigError: it holds a run with another setting. OutputError: it cannot be written.
    """
    file, text = folder / "setting.json", json.dumps(setting, sort_keys=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from error
    if file.read_text(encoding="utf-8").strip() != text:
        raise ConfigError(f"{folder} holds a run with another setting (see {file.name}). Choose another folder.")
