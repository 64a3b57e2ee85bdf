"""Who gets in: hosts, origins, tokens, tickets, roles (S1, S2, S4, S5, S9, S14, S16, S17, S18)."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import BaseRoute
from websockets.exceptions import InvalidStatus

from tests.serve.serving import ADMIN, TALK, VIEW, Served, serving
from vigil.errors import ConfigError
from vigil.serve.auth import SessionKeys, Tickets, Tokens, WrongTokens, first_token
from vigil.serve.gate import GateConfig, role_for
from vigil.serve.limits import Limits
from vigil.serve.logs import JsonLines, redact
from vigil.serve.protocol import MESSAGES, ROLE_OF
from vigil.serve.refusal import CODES

HTTP = httpx.Client(verify=False, limits=httpx.Limits(max_keepalive_connections=0))


@pytest.fixture(scope="module")
def served():
    with serving(gate=GateConfig(hosts=("vigil.example",), origins=("https://vigil.example",))) as server:
        yield server


def get(served: Served, path: str = "/readyz", **headers: str) -> httpx.Response:
    """One request with exactly these headers, and the host unless it is given."""
    return HTTP.get(f"http://127.0.0.1:{served.port}{path}", headers=headers)


def bearer(token: str = ADMIN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# ---- hosts and origins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:PORT", 200),
        ("localhost:PORT", 200),
        ("LOCALHOST:PORT", 200),
        ("[::1]:PORT", 200),
        ("vigil.example", 200),
        ("evil.example", 403),
        ("evil.example:PORT", 403),
        ("127.0.0.1", 403),
        ("127.0.0.1:1", 403),
        ("localhost.evil.example:PORT", 403),
        ("localhost:PORT.evil.example", 403),
        ("0.0.0.0:PORT", 403),
        ("127.0.0.1:PORT@evil.example", 403),
        ("", 403),
    ],
)
def test_only_known_hosts_get_in(served: Served, host: str, status: int) -> None:  # S2
    response = get(served, "/livez", Host=host.replace("PORT", str(served.port)))
    assert response.status_code in ({status} if host else {400, 403})


def raw(served: Served, request: str) -> str:
    """The status line of a request that no library would send."""
    import socket

    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as peer:
        peer.sendall(request.replace("PORT", str(served.port)).encode())
        return peer.recv(200).decode("latin-1").split("\r\n")[0]


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /livez HTTP/1.1\r\nHost: localhost:PORT\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example/livez HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n",
        "GET //livez HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n",
        "GET /livez/ HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n",
        "GET /%2e%2e/readyz HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n",
    ],
    ids=["two hosts", "absolute form", "two slashes", "slash at the end", "dots"],
)
def test_odd_requests_do_not_get_in(served: Served, request_text: str) -> None:  # S2, S5
    assert raw(served, request_text).split()[1] in {"400", "401", "403"}


ORIGINS = [
    ("http://127.0.0.1:PORT", 200),
    ("https://vigil.example", 200),
    ("https://127.0.0.1:PORT", 403),
    ("http://127.0.0.1", 403),
    ("http://localhost:PORT", 403),
    ("http://127.0.0.1:1", 403),
    ("http://evil.example", 403),
    ("http://127.0.0.1:PORT.evil.example", 403),
    ("https://vigil.example.evil.example", 403),
    ("https://vigil.example:443", 403),
    ("HTTPS://vigil.example", 403),
    ("http://vigil.example", 403),
    ("https://vigil.example/", 403),
    ("null", 403),
    ("*", 403),
    ("", 403),
    ("file://", 403),
    ("chrome-extension://abc", 403),
    ("http://127.0.0.1:PORT http://evil.example", 403),
]


@pytest.mark.parametrize(("origin", "status"), ORIGINS)
def test_only_exact_origins_get_in(served: Served, origin: str, status: int) -> None:  # S1
    origin = origin.replace("PORT", str(served.port))
    assert get(served, "/readyz", Origin=origin, **bearer()).status_code == status
    assert get(served, "/livez", Origin=origin).status_code == status


def test_without_an_origin_only_a_header_credential_opens_a_socket(served: Served) -> None:  # S1
    with pytest.raises(InvalidStatus) as refused:
        served.raw()
    assert refused.value.response.status_code == 401
    served.client().open("with-header")


def test_a_foreign_page_opens_no_socket_even_with_a_token(served: Served) -> None:  # S1
    with pytest.raises(InvalidStatus) as refused:
        served.client(origin="http://evil.example")
    assert refused.value.response.status_code == 403


def test_an_origin_that_is_none_is_refused_when_configured() -> None:
    for origin in ("*", "null", "https://*.example", "vigil.example"):
        with pytest.raises(ConfigError, match="is not an origin"):
            GateConfig(origins=(origin,))


# ---- tokens --------------------------------------------------------------------------------------------------------


def routes(served: Served) -> list[BaseRoute]:
    return list(served.gate._app.routes)


def test_every_route_of_the_app_needs_a_token(served: Served) -> None:  # S5
    public = {"/", "/livez", "/page/{name:path}"}
    paths = {route.path for route in routes(served) if hasattr(route, "path")}
    assert {"/readyz", "/metrics", "/v1/uploads", "/v1/chat/completions", "/v1/sessions"} <= paths
    for path in paths - public:
        for method in ("GET", "POST", "OPTIONS"):
            url = f"http://127.0.0.1:{served.port}{path.replace('{', '').replace('}', '')}"
            origin = f"http://127.0.0.1:{served.port}"
            response = HTTP.request(method, url, headers={"Origin": origin})
            assert response.status_code == 401, (method, path)


def test_a_new_route_that_nobody_thought_of_is_closed(served: Served) -> None:  # S5, negative control
    app: Any = served.gate._app
    app.add_api_route("/v1/forgotten", lambda: "open", methods=["GET"])
    assert get(served, "/v1/forgotten").status_code == 401
    assert get(served, "/v1/forgotten", **bearer(TALK)).status_code == 403
    assert get(served, "/v1/forgotten", **bearer()).status_code == 200
    assert role_for("GET", "/v1/anything") == "admin"


def test_a_token_in_the_address_is_refused(served: Served) -> None:  # T2
    for name in ("token", "access_token", "ticket", "Authorization"):
        assert get(served, f"/readyz?{name}={ADMIN}").status_code == 401
        assert get(served, f"/readyz?{name}={ADMIN}", **bearer()).status_code == 401


@pytest.mark.parametrize(
    "value", ["Bearer", "Basic abc", ADMIN, f"Token {ADMIN}", f"Bearer {ADMIN[:-1]}", f"Bearer {ADMIN}x"]
)
def test_a_wrong_credential_is_refused(served: Served, value: str) -> None:
    assert get(served, Authorization=value).status_code in {401, 429}


def test_roles_are_checked_per_route(served: Served) -> None:  # S14, T18
    assert get(served, "/v1/sessions", **bearer(VIEW)).status_code == 403
    assert get(served, "/v1/sessions", **bearer(TALK)).status_code == 403
    assert get(served, "/v1/sessions", **bearer()).status_code == 200
    upload = {"url": f"http://127.0.0.1:{served.port}/v1/uploads", "content": b"x"}
    assert HTTP.put(**upload, headers=bearer(VIEW)).status_code == 403
    assert HTTP.put(**upload, headers=bearer(TALK)).status_code == 200


FIELDS: dict[str, dict[str, Any]] = {
    "auth": {"token": VIEW},
    "session.open": {"client_id": "me", "open_id": "12345678"},
    "session.resume": {"session_id": "x", "resume_token": "x", "client_id": "me", "after": 0},
    "session.attach": {"session_id": "x", "view_token": "x", "after": 0},
    "session.update": {},
    "session.close": {"mode": "now"},
    "source.add": {"source": 1, "kind": "push"},
    "source.remove": {"source": 0},
    "input.end": {"source": 0},
    "input.skipped": {"source": 0, "first_ts": 0, "last_ts": 0, "count": 1},
    "input.text": {"text": "Hi", "mode": "interrupt"},
    "answer.cancel": {},
    "events.ack": {"seq": 1},
    "ping": {"id": 1},
}


def test_a_socket_that_looks_on_may_do_nothing_else(served: Served) -> None:  # S14: role x message, complete
    assert set(FIELDS) == set(MESSAGES)
    owner = served.session("looked-at")
    for token in (VIEW, TALK):
        looking = served.client(token)
        ids = {"session_id": owner.ready["session_id"], "view_token": owner.ready["view_token"]}
        looking.send(type="session.attach", after=0, **ids)
        looking.until("session.ready")
        commands = [name for name, role in ROLE_OF.items() if role == "talk" and not name.startswith("session.")]
        for name in [*commands, "session.update", "session.close"]:
            looking.send(type=name, cmd=1, **FIELDS[name])
            assert looking.error() == "forbidden", name
        looking.send(type="ping", id=7)
        assert looking.until("pong")["id"] == 7
        looking.frame(1)
        assert looking.close_code() == 1003


def test_a_token_to_view_opens_no_session(served: Served) -> None:  # S14
    client = served.client(VIEW)
    client.send(type="session.open", **FIELDS["session.open"])
    assert client.error() == "forbidden"


def test_a_wrong_session_token_is_refused(served: Served) -> None:  # S9
    owner = served.session("not-yours")
    ready = owner.ready
    for token in (ready["view_token"], "0" * 64, ready["resume_token"][:-1], ready["resume_token"].upper()):
        thief = served.client(TALK)
        ids = {"session_id": ready["session_id"], "resume_token": token}
        thief.send(type="session.resume", client_id="me", after=0, **ids)
        assert thief.close_code() == 4404
    for token in (ready["resume_token"], "1"):
        thief = served.client(VIEW)
        thief.send(type="session.attach", session_id=ready["session_id"], view_token=token, after=0)
        assert thief.close_code() == 4404
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", headers=bearer(TALK)) as http:
        assert http.get(f"/v1/sessions/{ready['session_id']}/events").status_code == 403
        assert http.delete(f"/v1/sessions/{ready['session_id']}").status_code == 403


def test_a_ticket_opens_one_socket_once(served: Served) -> None:
    origin = f"http://127.0.0.1:{served.port}"
    ticket = HTTP.post(f"{origin}/v1/ticket", headers={**bearer(), "Origin": origin}).json()["ticket"]
    first = served.raw(subprotocols=["vigil.v1", f"vigil.ticket.{ticket}"], origin=origin)
    assert first.ws.subprotocol == "vigil.v1"
    first.open("by-ticket")
    with pytest.raises(InvalidStatus) as refused:
        served.raw(subprotocols=["vigil.v1", f"vigil.ticket.{ticket}"], origin=origin)
    assert refused.value.response.status_code in {401, 429}


def test_the_first_message_may_say_who_it_is(served: Served) -> None:
    origin = f"http://127.0.0.1:{served.port}"
    client = served.raw(origin=origin)
    client.send(type="auth", token=TALK)
    assert client.until("auth.ok")["roles"] == ["talk", "view"]
    client.open("by-message")
    other = served.raw(origin=origin)
    other.send(type="session.open", **FIELDS["session.open"])
    assert other.close_code() == 4401
    other = served.raw(origin=origin)
    other.send(type="auth", token="0" * 64)
    assert other.close_code() == 4401


def test_wrong_tokens_are_limited_per_address_and_lock_nobody_out() -> None:  # S18
    now = 0.0
    wrong = WrongTokens(Limits(), clock=lambda: now)
    assert [wrong.note("1.2.3.4") for _ in range(5000)] == [False] * 20 + [True] * 4980
    assert wrong.note("5.6.7.8") is False
    now = 61.0
    assert wrong.note("1.2.3.4") is False


def test_a_right_token_gets_in_after_many_wrong_ones() -> None:  # S18
    with serving() as served:
        codes = [get(served, **bearer("0" * 64)).status_code for _ in range(30)]
        assert set(codes) == {401, 429}
        assert get(served, **bearer()).status_code == 200


def test_the_token_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "token"
    made = Tokens.from_file(path)
    token = first_token(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(bytes.fromhex(token)) == 32
    grant = made.check(token)
    assert grant is not None
    assert grant.roles == {"view", "talk", "admin"}
    assert Tokens.from_file(path).check(token) == grant
    assert made.check("0" * 64) is None
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Tokens.from_file(path)


@pytest.mark.parametrize("text", ["", "short", "root " + "a" * 64, "admin a b c " + "a" * 64])
def test_a_token_file_that_holds_no_tokens_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        Tokens.from_file(path)


def test_tickets_end_and_are_bounded() -> None:
    now = 0.0
    tickets = Tickets(Limits(tickets=2), clock=lambda: now)
    grant = Tokens.of(admin=ADMIN).check(ADMIN)
    assert grant is not None
    first, second, third = (tickets.issue(grant) for _ in range(3))
    assert tickets.redeem(first) is None
    assert tickets.redeem(second) == grant
    assert tickets.redeem(second) is None
    now = 61.0
    assert tickets.redeem(third) is None


def test_session_keys_hold_after_a_restart_and_differ(tmp_path: Path) -> None:
    first = SessionKeys.from_file(tmp_path / "secret")
    again = SessionKeys.from_file(tmp_path / "secret")
    assert first.resume_token("x") == again.resume_token("x") != first.view_token("x")
    assert first.session_id("a", "b", "c") != first.session_id("a", "bc", "")


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_errors_are_a_code_and_a_number(served: Served) -> None:  # S16
    answers = [
        get(served, "/nothing", **bearer()),
        get(served, "/v1/sessions/none/events", **bearer()),
        HTTP.put(f"http://127.0.0.1:{served.port}/v1/uploads", headers=bearer(), content=b""),
        HTTP.post(f"http://127.0.0.1:{served.port}/v1/chat/completions", headers=bearer(), content=b"{"),
        get(served),
    ]
    for answer in answers:
        assert answer.status_code >= 400
        error = answer.json()["error"]
        assert set(error) == {"code", "message", "type", "ref"}
        assert error["code"] == error["message"]
        assert error["code"] in CODES


def test_the_page_may_load_nothing_from_elsewhere(served: Served) -> None:  # S17
    headers = get(served, "/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


def test_no_credential_is_in_metrics_logs_or_errors(served: Served) -> None:  # S4
    served.session("canary-01")
    told = get(served, "/metrics", **bearer()).text + get(served, "/readyz", **bearer(TALK + "x")).text
    told += get(served, "/v1/capabilities", **bearer()).text
    for secret in (ADMIN, TALK, VIEW):
        assert secret not in told
    record = logging.LogRecord("x", 40, "f", 1, f"bad Bearer {ADMIN} at rtsp://u:pw@h/ vigil.ticket.abc", None, None)
    line = json.loads(JsonLines().format(record))["message"]
    assert ADMIN not in line
    assert "pw" not in line
    assert "abc" not in line
    assert redact("nothing to hide") == "nothing to hide"
