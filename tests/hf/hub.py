"""The hub's client without the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi


class Hub:
    """Takes uploads in the place of the hub's API, and reads what is in the folder while it is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: dict[str, Any] = {}
        hub = self

        class Repo:
            repo_id = "me/my-nano"

        def create_repo(api: HfApi, repo_id: str, **options: Any) -> Repo:
            hub.asked |= {"repo_id": repo_id, "token": api.token, **options}
            return Repo()

        def upload_folder(api: HfApi, *, repo_id: str, folder_path: str, **options: Any) -> str:
            assert repo_id == Repo.repo_id
            hub.asked |= options
            hub.files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
            return "https://huggingface.co/me/my-nano/commit/1"

        monkeypatch.setattr(HfApi, "create_repo", create_repo)
        monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
