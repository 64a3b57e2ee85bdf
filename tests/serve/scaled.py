"""Two replicas on this machine, and clients that must not notice what becomes of them. Run as a program; prints JSON.

python tests/serve/scaled.py FOLDER PORT
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import ray
from ray import serve

import vigil.client
from vigil.serve import scale
from vigil.serve.build import Options
from vigil.types import Asked

QUICK = vigil.client.Reconnect(first_s=0.05, last_s=0.5)


def loads_until(url: str, what: str) -> None:
    """Wait until the entry tells this of its replicas."""
    deadline = time.monotonic() + 60
    while (told := httpx.get(f"{url}/replicas").json()["replicas"]) != json.loads(what):
        assert time.monotonic() < deadline, told
        time.sleep(0.2)


def seqs(session: vigil.client.Session, last_text: str) -> list[int]:
    """Numbers of all events up to a question."""
    found = []
    while (event := session.next(60)) is not None:
        found.append(event.seq)
        if isinstance(event, Asked) and event.text == last_text:
            return found
    raise AssertionError(f"the session ended before {last_text!r}")


def scenario(folder: Path, port: int) -> dict[str, Any]:
    """What two clients live through."""
    url = f"http://127.0.0.1:{port}"
    configs = scale.replica_configs(Options(data=folder, port=port, max_sessions=2), 2)
    scale.start(configs)
    token = (folder / "token").read_text().split()[-1]
    told: dict[str, Any] = {"page": httpx.get(url, follow_redirects=True).text.count("<title>")}
    with (
        vigil.client.connect(url, token=token, reconnect=QUICK) as client,
        vigil.client.connect(url, token=token, reconnect=QUICK) as other,
    ):
        first = client.session()
        loads_until(url, '{"/0": 0.5, "/1": 0.0}')
        second = other.session(vigil.client.Upload(other.upload(b"no video, but it lies where the session is")))
        told["places"] = [first.url.removeprefix(url), second.url.removeprefix(url)]
        told["logs"] = [
            (folder / f"replica-{n}" / "sessions" / one.id).is_dir() for n, one in enumerate((first, second))
        ]
        first.ask("Before?")
        told["first"] = seqs(first, "Before?")
        saved = first.saved
        first.leave()
        first = client.resume(saved)
        told["turns"] = [first.ask("After?"), second.ask("Before?")]
        told["first"] += seqs(first, "After?")
        scale.drain(1)
        loads_until(url, '{"/0": 0.5}')
        with vigil.client.connect(url, token=token) as third:
            told["third"] = third.session().url.removeprefix(url)
        told["turns"].append(first.ask("Still there?"))
        serve.run(scale.replica(configs[1]), name="vigil-1", route_prefix="/1")
        told["turns"].append(second.ask("Back?"))
        told["second"] = seqs(second, "Back?")
    return told


if __name__ == "__main__":
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        print(json.dumps(scenario(Path(sys.argv[1]), int(sys.argv[2]))))
    finally:
        serve.shutdown()
        ray.shutdown()
