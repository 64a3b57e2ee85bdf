"""A step that does not end is noticed, and work beside live sessions takes its share and no more."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.fakes import ScriptedModel
from tests.serve.serving import PATIENT, jpeg, serving
from vigil.errors import ModelError
from vigil.model.tokens import SILENCE
from vigil.serve.pulse import SideDoor, WatchedEngine
from vigil.serve.runner import Runner
from vigil.stream.engine import EngineConfig


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.rested_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def rest(self, seconds: float) -> None:
        """Instead of sleeping."""
        self.rested_s.append(round(seconds, 6))


class Slow(ScriptedModel):
    """A model whose steps move the clock."""

    def __init__(self, clock: Hands, step_s: float) -> None:
        super().__init__()
        self.clock, self.step_s = clock, step_s

    def decode(self, *args, **named):  # type: ignore[no-untyped-def]
        """As the name says."""
        self.clock.now_s += self.step_s
        self.seen_s.append(self.engine.going_on_s)
        return super().decode(*args, **named)

    engine: WatchedEngine
    seen_s: list[float] = []  # noqa: RUF012 - one model per test


def test_a_step_that_goes_on_is_known_while_it_does_and_forgotten_when_it_ends() -> None:
    clock = Hands()
    model = Slow(clock, 3.0)
    model.seen_s = []
    engine = model.engine = WatchedEngine(model, EngineConfig(), clock=clock)
    handle = engine.open(speed="max")
    while engine.step():
        continue
    assert model.seen_s == [3.0]
    assert engine.going_on_s == 0.0
    assert engine.patience_s(5.0) == 60.0  # 20 times what is usual
    assert engine.patience_s(90.0) == 90.0
    handle.close()
    engine.close()


def test_rounds_in_which_nothing_was_due_do_not_count_as_steps() -> None:
    clock = Hands()
    engine = WatchedEngine(ScriptedModel(), EngineConfig(), clock=clock)
    for _ in range(3):
        engine.step()
    assert engine.patience_s(5.0) == 5.0


def test_the_trouble_of_a_runner_is_a_long_step_or_an_engine_that_stopped() -> None:
    runner = Runner(ScriptedModel(), seats=1)
    assert runner.trouble(5.0) is None
    runner.engine._since["speech"] = runner.engine._clock() - 5.5
    assert "more than 5.0 s" in str(runner.trouble(5.0))
    runner.engine._since.clear()
    runner.engine.error = RuntimeError("secret")
    assert runner.trouble(5.0) == "the engine stopped with RuntimeError"


def test_a_canary_whose_engine_ends_does_not_wait_for_its_time() -> None:
    runner = Runner(ScriptedModel(), seats=1)
    failed: list[ModelError] = []

    def look() -> None:
        try:
            runner.canary(600.0)
        except ModelError as error:
            failed.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    while not runner.engine.handles and thread.is_alive():
        continue
    runner.close()
    thread.join(30)
    assert not thread.is_alive()
    assert len(failed) == 1


def test_a_side_door_rests_in_proportion_while_sessions_live() -> None:
    clock, live = Hands(), [True]
    door = SideDoor(lambda: live[0], share=0.25, clock=clock, sleep=clock.rest)
    for took_s in (0.1, 0.02):
        with door.step():
            clock.now_s += took_s
    assert clock.rested_s == [0.3, 0.06]
    live[0] = False
    with door.step():
        clock.now_s += 9.0
    assert clock.rested_s == [0.3, 0.06]


def test_a_chat_beside_a_session_uses_the_side_door() -> None:
    with serving(ScriptedModel(*[SILENCE] * 2, "Hi.", SILENCE)) as served:
        entered: list[str] = []
        door = served.gate.hub.runner.side_door
        rest = door._sleep
        door._sleep = lambda seconds: (entered.append(f"rested {seconds > 0}"), rest(min(seconds, 0.01)))[0]  # type: ignore[assignment]
        client = served.session(sources=[])
        body = {"model": "scripted", "messages": [{"role": "user", "content": "What?"}]}
        with served.http as http:
            assert http.post("/v1/chat/completions", json=body).status_code == 200
        assert entered
        assert set(entered) == {"rested True"}
        client.done(client.ask())


# ---- what an operator sees -------------------------------------------------------------------------------------------


def figure(text: str, name: str) -> float:
    """One line of /metrics."""
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"vigil_{name} ")))


def test_the_log_shows_in_the_metrics(tmp_path: Path) -> None:
    with serving(folder=tmp_path / "log") as served:
        client = served.session(sources=[])
        client.done(client.ask())
        with served.http as http:
            text = http.get("/metrics").text
        size = sum(path.stat().st_size for path in (tmp_path / "log").rglob("*.log"))
        assert figure(text, "log_commit_seconds_count") >= 2
        assert 0 < figure(text, "log_bytes") <= size
        assert figure(text, 'sessions{state="live"}') == 1


def test_a_silent_camera_shows_in_the_metrics() -> None:
    with serving(cameras={"door": "http://127.0.0.1:9/"}) as served:
        client = served.session(sources=[])
        with served.http as http:
            assert figure(http.get("/metrics").text, "source_last_frame_age_seconds") == 0
            client.done(client.command("source.add", source=0, kind="camera", name="door"))
            client.until("source.lost")
            assert figure(http.get("/metrics").text, "source_last_frame_age_seconds") > 0


def test_recordings_are_refused_and_said_to_be() -> None:
    with serving() as served, served.http as http:
        assert http.get("/v1/capabilities").json()["recordings"] is False
        client = served.client()
        client.send(type="session.open", client_id="me", open_id="record-me", record=True)
        assert client.error() == "forbidden"


def test_a_question_says_in_the_log_whether_it_is_standing() -> None:
    with serving(limits=PATIENT) as served:
        client = served.session(sources=[])
        client.done(client.ask("Tell me when.", answer_by_s=None))
        client.done(client.ask("What?", answer_by_s=9))
        assert [row["standing"] for row in client.events if row["type"] == "input.text.accepted"] == [True, False]


def test_frames_may_change_their_size_in_the_stream() -> None:  # C4
    with serving() as served:
        client = served.session()
        for number, size in enumerate(((32, 24), (640, 360), (24, 320)), 1):
            client.frame(number, image=jpeg(number, size))
            client.until("input.frame.perceived", frame_no=number)


def test_the_canary_makes_the_model_look_and_decide() -> None:
    runner = Runner(ScriptedModel(), seats=1)
    runner.start()
    runner.canary(30.0)
    assert runner.newest_step > 0
    runner.close()
