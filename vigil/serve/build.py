"""From what an operator chooses to a server that is ready to run: tokens, log, model, in this order."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vigil.serve.gate import Gate

Durability = Literal["strict", "process", "off"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a server needs to know; plain values, the fields follow the flags of `vigil serve`."""

    host: str = "127.0.0.1"
    port: int = 8765
    model: str = "nano"
    data: Path = field(default_factory=lambda: Path.home() / ".vigil" / "serve")
    token_file: Path | None = None
    """None: `token` in `data`."""
    secret_file: Path | None = None
    """What resume tokens are made from; None: `secret` in `data`."""
    durability: Durability = "strict"
    keep_hours: int = 24
    max_sessions: int = 8
    cameras: tuple[tuple[str, str], ...] = ()
    """Names and addresses."""
    media: tuple[tuple[str, str], ...] = ()
    """Names and files."""
    compat: bool = False
    compat_markers: bool = False
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @property
    def tokens(self) -> Path:
        """Where the tokens are."""
        return self.token_file or self.data / "token"

    @property
    def secret(self) -> Path:
        """Where the secret behind resume tokens is."""
        return self.secret_file or self.data / "secret"


def build(options: Options) -> Gate:
    """The application, with the model loaded.

    Raises:
        ConfigError, StorageError, ModelError: the token file, the log or the model cannot be opened.
    """
    from vigil.model import load
    from vigil.serve.app import ServeConfig, create_app
    from vigil.serve.auth import SessionKeys, Tokens
    from vigil.serve.durable import Store, StoreConfig
    from vigil.serve.gate import GateConfig
    from vigil.serve.limits import Limits
    from vigil.serve.runner import Runner, weights_sha256

    os.umask(0o077)
    tokens, keys = Tokens.from_file(options.tokens), SessionKeys.from_file(options.secret)
    limits = Limits(keep_s=3600.0 * options.keep_hours, seats=options.max_sessions)
    config = ServeConfig(
        limits=limits,
        gate=GateConfig(hosts=options.hosts, origins=options.origins, compat=options.compat),
        cameras=dict(options.cameras),
        media={name: Path(path) for name, path in options.media},
        compat_markers=options.compat_markers,
        uploads=options.data / "uploads",
    )
    model = load(options.model)
    folder = None if options.durability == "off" else options.data
    store = Store(folder, StoreConfig(level=options.durability, keep_s=limits.keep_s))
    runner = Runner(model, name=Path(options.model).name, sha256=weights_sha256(options.model), seats=limits.seats)
    return create_app(runner, store, tokens, keys, config)
