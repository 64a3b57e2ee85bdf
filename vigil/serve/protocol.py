"""What a client may say on `/v1/stream`: typed messages, every field checked, unknown fields refused.

A command carries `cmd` = 1, 2, 3, ... per client id and is applied exactly once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal
from vigil.serve.strict import MAX_INT, parse_object

SUBPROTOCOL = "vigil.v1"
TICKET_PREFIX = "vigil.ticket."
VERSION = 1

Role = Literal["view", "talk", "admin"]
Count = Annotated[int, Field(ge=1, le=MAX_INT)]
After = Annotated[int, Field(ge=0, le=MAX_INT)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
SourceId = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")]
Cmd = Count


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Policy(_Strict):
    """When to speak. A field that is left out keeps its value."""

    sensitivity: Annotated[float, Field(ge=0, le=1)] | None = None
    """Speak where P(silence) is below this; higher speaks more. null: unless silence is the most likely token."""
    min_gap_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """Seconds of quiet after an answer before the next one that nobody asked for."""
    answer_by_s: Annotated[float, Field(ge=0, le=3600)] | None = None
    """For questions that do not say it themselves. null: a standing question, silence is allowed."""
    revise: bool = True
    """Whether a later reply may replace the one before."""
    silence: Literal["runs", "each"] = "runs"


class Sampling(_Strict):
    """How the next token is drawn. A field that is left out keeps its value."""

    max_tokens: Annotated[int, Field(ge=1, le=MAX_INT)] = 512
    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=100_000)] = 0
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0
    seed: Annotated[int, Field(ge=0, le=MAX_INT)] = 0


class SourceSpec(_Strict):
    """One source of frames. No address and no path is ever taken from a client."""

    source: SourceId
    kind: Literal["push", "camera", "upload"]
    name: Name | None = None
    """Of a camera that the operator has set up."""
    upload_id: Secret | None = None
    fps: Annotated[float, Field(gt=0, le=1e6)] | None = None
    start_s: Seconds | None = None
    pace: Annotated[float, Field(ge=0, le=100)] | None = None
    """Seconds of an upload that pass in one second; 0: as fast as it is perceived. Default 1."""

    @model_validator(mode="after")
    def _goes_together(self) -> SourceSpec:
        if (self.kind == "camera") != (self.name is not None) or (self.kind == "upload") != (
            self.upload_id is not None
        ):
            raise ValueError("a camera has a name, an upload an upload_id")
        if self.kind != "upload" and (self.start_s is not None or self.pace is not None):
            raise ValueError("only an upload has a start and a pace")
        return self


class FrameRef(_Strict):
    """A frame that a question is about."""

    source: SourceId
    frame_no: Count


class Auth(_Strict):
    """Who speaks, where the handshake could not say it."""

    type: Literal["auth"]
    token: Secret | None = None
    ticket: Secret | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Auth:
        if (self.token is None) == (self.ticket is None):
            raise ValueError("a token or a ticket")
        return self


class SessionOpen(_Strict):
    """Begin a session. The same `open_id` again returns the same session."""

    type: Literal["session.open"]
    client_id: Name
    open_id: Annotated[str, StringConstraints(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
    model: Annotated[str, StringConstraints(max_length=128)] | None = None
    system: str = ""
    policy: Policy = Policy()
    sampling: Sampling = Sampling()
    sources: list[SourceSpec] = []
    record: bool = False
    durability: Literal["strict", "process", "off"] | None = None
    keep_s: Annotated[float, Field(gt=0, le=1e9)] | None = None


class SessionResume(_Strict):
    """Take the control of a session, from the event after `after` on."""

    type: Literal["session.resume"]
    session_id: Secret
    resume_token: Secret
    client_id: Name
    after: After


class SessionAttach(_Strict):
    """Look on."""

    type: Literal["session.attach"]
    session_id: Secret
    view_token: Secret
    after: After


class SessionUpdate(_Strict):
    """Change how the session goes on, from the next decision on."""

    type: Literal["session.update"]
    cmd: Cmd
    policy: Policy | None = None
    sampling: Sampling | None = None
    system: str | None = None


class SessionClose(_Strict):
    """End the session: after what is queued has been seen and said, or now."""

    type: Literal["session.close"]
    cmd: Cmd
    mode: Literal["drain", "now"]


class SourceAdd(SourceSpec):
    """Open one more source."""

    type: Literal["source.add"]
    cmd: Cmd


class SourceRemove(_Strict):
    """Drop a source and what waits in its queue."""

    type: Literal["source.remove"]
    cmd: Cmd
    source: SourceId


class InputEnd(_Strict):
    """No more frames will come from a source."""

    type: Literal["input.end"]
    cmd: Cmd
    source: SourceId


class InputSkipped(_Strict):
    """Frames that the client left out for want of credit."""

    type: Literal["input.skipped"]
    cmd: Cmd
    source: SourceId
    first_ts: Seconds
    last_ts: Seconds
    count: Count


class InputText(_Strict):
    """A question; it opens a turn."""

    type: Literal["input.text"]
    cmd: Cmd
    text: Annotated[str, StringConstraints(min_length=1)]
    mode: Literal["interrupt", "queue"]
    after_frame: FrameRef | None = None
    answer_by_s: Annotated[float, Field(ge=0, le=3600)] | None = None


class AnswerCancel(_Strict):
    """Stop speaking, without a new question."""

    type: Literal["answer.cancel"]
    cmd: Cmd
    answer_id: Count | None = None


class EventsAck(_Strict):
    """The client has taken in everything up to `seq`."""

    type: Literal["events.ack"]
    seq: After


class Ping(_Strict):
    """Asks for a `pong`."""

    type: Literal["ping"]
    id: Annotated[int, Field(ge=0, le=MAX_INT)]


Opening = SessionOpen | SessionResume | SessionAttach
Command = SessionUpdate | SessionClose | SourceAdd | SourceRemove | InputEnd | InputSkipped | InputText | AnswerCancel
Message = Auth | Opening | Command | EventsAck | Ping

MESSAGES: dict[str, type[Message]] = {
    "auth": Auth, "session.open": SessionOpen, "session.resume": SessionResume, "session.attach": SessionAttach,
    "session.update": SessionUpdate, "session.close": SessionClose, "source.add": SourceAdd,
    "source.remove": SourceRemove, "input.end": InputEnd, "input.skipped": InputSkipped, "input.text": InputText,
    "answer.cancel": AnswerCancel, "events.ack": EventsAck, "ping": Ping,
}  # fmt: skip
ROLE_OF: dict[str, Role | None] = {
    **dict.fromkeys(MESSAGES, "talk"), "auth": None, "session.attach": "view", "events.ack": "view", "ping": "view",
}  # fmt: skip
"""The role that each message needs; None: it is how a role is got."""


def parse_message(text: str, limits: Limits) -> Message:
    """Read one text message.

    Raises:
        Refusal: `too_large`, `bad_json`, `unknown_type`, or `bad_message` for a field that is missing, unknown, of the
            wrong type or out of range.
    """
    return message_from(parse_object(text, limits), limits)


def message_from(row: dict[str, Any], limits: Limits) -> Message:
    """Check the fields of a parsed message. Raises: see `parse_message`."""
    kind = row.get("type")
    if not isinstance(kind, str) or kind not in MESSAGES:
        raise Refusal("unknown_type")
    try:
        message = MESSAGES[kind].model_validate(row)
    except ValidationError as error:
        raise Refusal("bad_message") from error
    for text in (getattr(message, "text", None), getattr(message, "system", None)):
        if text is not None and len(text.encode()) > limits.text_bytes:
            raise Refusal("too_large")
    return message


def given(model: Policy | Sampling) -> dict[str, Any]:
    """The fields that a client has set itself."""
    return {name: getattr(model, name) for name in sorted(model.model_fields_set)}
