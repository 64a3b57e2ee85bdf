"""Call a web address whenever it happens: webhook_on_alert.py SERVER WEBHOOK "Tell me when the water boils." [CAMERA]

SERVER is the address that `vigil serve` prints, with its token. CAMERA is a name given to `vigil serve --camera`;
without one the bundled clip is watched. A lost connection to the server is no matter; a webhook that fails is tried
again.
"""

import sys
import time

import httpx

from vigil.client import Camera, Notice, Session, Upload, connect
from vigil.types import Done

TRIES = 5


def main(server: str, webhook: str, watch_for: str, source: Camera | Upload) -> None:
    """Watch for something, and call the webhook each time it is told."""
    with connect(server) as client, client.session(source) as session, httpx.Client(timeout=10) as http:
        session.ask(watch_for, standing=True)
        for event in session:
            if isinstance(event, Done) and event.status == "final":
                print(f"{event.time_s:7.1f} s  {event.text.strip()}", flush=True)
                call(http, webhook, alert(session, event, watch_for))
            elif isinstance(event, Notice) and event.kind == "source.ended":
                session.close(drain=True)


def alert(session: Session, event: Done, watch_for: str) -> dict[str, object]:
    """What the webhook gets."""
    return {
        "id": f"{session.id}-{event.seq}",  # the same alert, however often it is delivered
        "watch_for": watch_for,
        "text": event.text.strip(),
        "time_s": event.time_s,
        "frame": event.frame,
    }


def call(http: httpx.Client, webhook: str, body: dict[str, object]) -> None:
    """Send a body, again after 1, 2, 4, ... s where that fails; give up after `TRIES`."""
    for wait_s in (2.0**n for n in range(TRIES)):
        try:
            http.post(webhook, json=body, headers={"Idempotency-Key": str(body["id"])}).raise_for_status()
            return
        except httpx.HTTPError as error:
            print(f"the webhook failed ({type(error).__name__}): again in {wait_s:.0f} s", file=sys.stderr)
            time.sleep(wait_s)
    print(f"given up: {body}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:4], source=Camera(sys.argv[4]) if len(sys.argv) == 5 else Upload("demo"))
