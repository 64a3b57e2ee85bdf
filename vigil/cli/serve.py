"""`vigil serve`: many live sessions over one model, in the browser and over the wire."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count, positive
from vigil.errors import ConfigError
from vigil.serve.build import Durability, Options

LOOPBACK = ("127.0.0.1", "::1", "localhost")

HELP = f"""\
usage: vigil serve [OPTIONS]

Serve a model to browsers and programs on this machine. The address that is
printed opens the page; everybody who connects needs the token in it.

  --host ADDRESS         where to listen (default: 127.0.0.1, this machine)
  --port PORT            0 takes a free one (default: 8765)
  --model NAME           nano, a folder, or a hub name (default: nano)
  --data DIR             event log, token and uploads (default: ~/.vigil/serve)
  --token-file FILE      made at first start (default: DIR/token)
  --durability LEVEL     strict, process or off: what a power cut, a crash, or
                         any end of the process may cost (default: strict)
  --keep HOURS           how long events are kept (default: 24)
  --max-sessions N       sessions at the same time (default: 8)
  --camera NAME=ADDRESS  a live source that clients may choose by its name
  --media NAME=FILE      a file that --compat clients may play by its name
  --compat               also speak the messages of the MOSS-VL reference
                         service at /v1/realtime; there, on this machine, any
                         local user may connect without a token
  --compat-markers       with --compat: literal <|silence|> and <|...|> as text
  --allow-origin ORIGIN  one more web origin that may connect
  --allow-host HOST      one more value of the Host header, with its port
  --public               allow a --host other than this machine
  --replicas N           so many servers behind one address, by Ray Serve
  --gpus N               of each replica (default: 0)
  --drain N              end replica N of those that run, and do nothing else
  --dry-run              say what would be served; listen to nothing

examples:
  vigil serve
  vigil serve --camera door=rtsp://10.0.0.7/stream --durability process

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil serve`."""
    flags, default = Parser("serve", HELP), Options()
    flags.add_argument("--host", default=default.host, metavar="ADDRESS")
    flags.add_argument("--port", type=port, default=default.port, metavar="PORT")
    flags.add_argument("--model", default=default.model, metavar="NAME")
    flags.add_argument("--data", type=Path, default=default.data, metavar="DIR")
    flags.add_argument("--token-file", type=Path, metavar="FILE")
    flags.add_argument("--durability", choices=get_args(Durability), default=default.durability)
    flags.add_argument("--keep", type=count, default=default.keep_hours, metavar="HOURS")
    flags.add_argument("--max-sessions", type=count, default=default.max_sessions, metavar="N")
    flags.add_argument("--camera", type=named, action="append", default=[], metavar="NAME=ADDRESS")
    flags.add_argument("--media", type=named, action="append", default=[], metavar="NAME=FILE")
    flags.add_argument("--compat", action="store_true")
    flags.add_argument("--compat-markers", action="store_true")
    flags.add_argument("--allow-origin", action="append", default=[], metavar="ORIGIN")
    flags.add_argument("--allow-host", action="append", default=[], metavar="HOST")
    flags.add_argument("--public", action="store_true")
    flags.add_argument("--replicas", type=count, metavar="N")
    flags.add_argument("--gpus", type=positive, metavar="N")
    flags.add_argument("--drain", type=replica, metavar="N")
    flags.add_argument("--dry-run", action="store_true")
    return flags


def port(text: str) -> int:
    """A port number; 0 takes a free one."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return value


def replica(text: str) -> int:
    """The number of a replica: 0, 1, 2, ..."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a replica; they are 0, 1, 2, ...")
    return value


def cameras_of(named: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Check the addresses before anything is loaded; no error repeats one.

    Raises:
        ConfigError: one is no live source. SourceError: one may not be opened, or cannot be understood.
    """
    from vigil.stream.address import address_of

    for name, address in named:
        if address_of(address) is None:
            raise ConfigError(f"--camera {name} is no live source. Give camera:0, rtsp://... or http://...")
    return tuple(named)


def named(text: str) -> tuple[str, str]:
    """NAME=VALUE; the value is never repeated in an error, since it may hold a password."""
    name, equals, value = text.partition("=")
    if not (name and equals and value) or not all(c.isalnum() or c in "._-" for c in name) or len(name) > 64:
        raise argparse.ArgumentTypeError("give NAME=VALUE, the name in letters, digits, dot, dash and underscore")
    return name, value


def run(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or ctrl-C.

    Raises:
        VigilError: see the exit codes.
    """
    given = options(args)
    if args.dry_run:
        tell_plan(given)
    elif args.drain is not None:
        scaling().drain_one(args.drain)
    elif args.replicas is not None:
        serve_replicas(given, args.replicas, gpus=args.gpus or 0.0)
    else:
        serve(given)


def options(args: argparse.Namespace) -> Options:
    """Turn flags into options.

    Raises:
        ConfigError: flags that do not go together.
    """
    if args.host not in LOOPBACK and not args.public:
        raise ConfigError(
            f"--host {args.host} lets other machines connect, without encryption. Add --public if that is what you "
            "want, or leave --host out and put a proxy with TLS before vigil."
        )
    if args.gpus is not None and args.replicas is None:
        raise ConfigError("--gpus belongs to --replicas, which is not given. Add it.")
    if (args.media or args.compat_markers) and not args.compat:
        raise ConfigError("--media and --compat-markers belong to --compat, which is not given. Add it.")
    return Options(
        host=args.host,
        port=args.port,
        model=args.model,
        data=args.data,
        token_file=args.token_file,
        durability=args.durability,
        keep_hours=args.keep,
        max_sessions=args.max_sessions,
        cameras=cameras_of(args.camera),
        media=tuple(args.media),
        compat=args.compat,
        compat_markers=args.compat_markers,
        origins=tuple(args.allow_origin),
        hosts=tuple(args.allow_host),
    )


def tell_plan(options: Options) -> None:
    """Say what would be served, where, and what each session keeps. No name of a camera comes with its address."""
    from vigil.cli.plan import model_fact, stream_fact, tell
    from vigil.config import StreamConfig

    fact, config = model_fact(options.model)
    tell(
        "serve",
        address=f"http://{options.host}:{options.port}/",
        data=f"{options.data}, durability {options.durability}, kept {options.keep_hours} h",
        cameras=", ".join(name for name, _ in options.cameras) or "none",
        model=fact,
        sessions=f"{options.max_sessions}, each {stream_fact(StreamConfig(), config)}",
    )


def serve(options: Options) -> None:
    """Open everything, cheapest first, and run the server."""
    import asyncio

    try:
        from vigil.serve.server import listen, run
    except ImportError as error:
        raise ConfigError(f"vigil serve needs {error.name}. Run pip install 'vigil-video[serve]'.") from error
    from vigil.cli.lines import loading, note
    from vigil.serve.build import build

    show_logs()
    listener = listen(options.host, options.port)
    with loading(options.model):
        gate = build(options)
    host, port = listener.getsockname()[:2]

    def ready() -> None:
        note(f"serving {options.model} at {address(options, host, port)}")

    asyncio.run(run(gate, listener, limits=gate.hub.limits, on_ready=ready))


def serve_replicas(options: Options, replicas: int, *, gpus: float) -> None:
    """Run so many servers until SIGTERM or ctrl-C.

    Raises:
        ConfigError: Ray is not installed.
    """
    from vigil.cli.lines import note

    scale = scaling()

    def ready() -> None:
        note(f"serving {options.model}, {replicas} times, at {address(options, options.host, options.port)}")

    scale.run_replicas(scale.replica_configs(options, replicas), num_gpus=gpus, on_ready=ready)


def scaling() -> ModuleType:
    """What runs replicas. Raises: ConfigError: a package for serving is not installed."""
    try:
        from vigil.serve import scale
    except ImportError as error:
        raise ConfigError(f"vigil serve needs {error.name}. Run pip install 'vigil-video[serve,scale]'.") from error
    return scale


def address(options: Options, host: str, port: int) -> str:
    """For the operator's own screen with the token; where stderr goes elsewhere, only with where to find it."""
    from vigil.serve.auth import first_token

    url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    if sys.stderr.isatty():
        return f"{url}#token={first_token(options.tokens)}"
    return f"{url}  (the token is in {options.tokens})"


def show_logs() -> None:
    """What the server has to say goes to stderr as JSON lines, without bodies, credentials or addresses of clients."""
    from vigil.serve.logs import JsonLines

    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in ("vigil.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
