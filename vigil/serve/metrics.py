"""What the operator's monitoring reads at `/metrics`. No label holds an id, a name or an address of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from vigil.serve.sessions import Hub

FAST_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SLOW_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


class Metrics:
    """All figures of one server; two servers in one process do not share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"vigil_{name}", what, labels, registry=self.registry)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"vigil_{name}", what, labels, registry=self.registry)

        def histogram(name: str, what: str, buckets: tuple[float, ...] = FAST_S) -> Histogram:
            return Histogram(f"vigil_{name}", what, buckets=buckets, registry=self.registry)

        self.sessions = gauge("sessions", "Sessions by state", "state")
        self.admission_refused = counter("admission_refused_total", "Requests refused for want of room", "reason")
        self.frames = counter("frames_total", "Frames by what became of them", "state", "reason")
        self.frame_age = histogram("frame_age_seconds", "From arrival to readable", SLOW_S)
        self.ttft = histogram("ttft_seconds", "From question to first text", SLOW_S)
        self.step = histogram("step_seconds", "One step of the model")
        self.answers = counter("answers_total", "Closed revisions by status", "status")
        self.revisions = counter("answer_revisions_total", "Revisions that replaced another one")
        self.unanswered = counter("unanswered_total", "Questions that got no answer")
        self.silence_ratio = gauge("silence_ratio", "Share of decisions that were silence")
        self.kv = gauge("kv_bytes", "Memory reserved on the model", "ring", "kind")
        self.log_commit = histogram("log_commit_seconds", "Writing a group of events and making it safe")
        self.log_bytes = gauge("log_bytes", "Size of the event log")
        self.disk_free = gauge("disk_free_bytes", "Free space where the log lies")
        self.send_stalls = counter("ws_send_stall_total", "Sockets closed because their reader stood still")
        self.lag = gauge("client_lag_events", "Events that the slowest reader has not yet confirmed")
        self.resumes = counter("resume_total", "Resumed sessions by outcome", "outcome")
        self.errors = counter("errors_total", "Errors sent to clients", "code")
        self.source_state = gauge("source_state", "Live sources by state", "state")
        self.reconnects = counter("source_reconnects_total", "Attempts to reach a live source again")
        self.last_frame_age = gauge(
            "source_last_frame_age_seconds", "Age of the newest frame of the camera that has waited longest"
        )
        self.decoder_restarts = counter("decode_child_restarts_total", "Decoder children that ended early", "cause")
        self.worker_restarts = counter("worker_restarts_total", "Model seats that failed", "cause")
        self.loop_lag = gauge("event_loop_lag_seconds", "How late the event loop is")
        self.auth_failures = counter("auth_failures_total", "Wrong credentials")
        self._decisions = [0, 0]

    def decided(self, *, speak: bool) -> None:
        """Count one decision."""
        self._decisions[0] += not speak
        self._decisions[1] += 1
        self.silence_ratio.set(self._decisions[0] / self._decisions[1])

    def count_event(self, row: dict[str, Any]) -> None:
        """Count what a durable event tells."""
        kind = row["type"]
        if kind == "answer.done":
            self.answers.labels(status=row["status"]).inc()
        elif kind == "answer.revised":
            self.revisions.inc()
        elif kind == "input.text.unanswered":
            self.unanswered.inc()

    def text(self) -> bytes:
        """The figures in Prometheus' text form."""
        return generate_latest(self.registry)


def measure(hub: Hub) -> None:
    """Set what is only known by looking. Runs on the event loop; the size of the log is looked up elsewhere."""
    ages_s = [
        live.log.now() - source.newest_ts
        for live in hub.active.values()
        for source in live.sources.values()
        if source.kind == "camera" and not source.is_ended
    ]
    hub.metrics.last_frame_age.set(max(ages_s, default=0.0))
    hub.metrics.sessions.labels(state="live").set(len(hub.active))
