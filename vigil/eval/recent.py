"""The control that beats many streaming models: an offline model that is shown the newest few frames, again and again.

    chat = ChatModel(base_url="http://localhost:8000/v1", model="some-model")
    system = recent_n(chat, 4, poll_hz=1.0)

Source of the control: arXiv 2604.02317.
"""

from __future__ import annotations

import base64
import io
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image as Pictures

from vigil.errors import ConfigError, ModelError
from vigil.eval.baselines import Unseeing
from vigil.eval.door import EPSILON_S, Image
from vigil.eval.watcher import Reply, WatcherSystem
from vigil.model.model import VideoModel
from vigil.types import Frame


class Answerer(Protocol):
    """A model that answers a question about a few frames, and forgets both."""

    def answer(self, frames: Sequence[Frame], question: str) -> str:
        """The reply; empty for none."""
        ...


@dataclass(frozen=True, slots=True)
class Offline:
    """A vigil model that is asked after the frames, as in `vigil ask`."""

    model: VideoModel
    fps: float = 1.0

    def answer(self, frames: Sequence[Frame], question: str) -> str:
        """Read the frames afresh, then answer."""
        from vigil.stream.watch import answer

        return answer(self.model, [(frame.image, frame.time_s) for frame in frames], question, fps=self.fps)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatModel:
    """A model behind a chat endpoint in the style of OpenAI's (`pip install vigil-video[synth]` brings the client)."""

    base_url: str
    model: str
    api_key: str = field(default="none", repr=False)
    """Many local servers want none."""
    max_tokens: int = 64
    timeout_s: float = 60.0
    instruction: str = "These are the newest frames of a video that is playing. Answer in one short sentence."

    def answer(self, frames: Sequence[Frame], question: str) -> str:
        """Send the frames as PNG images, then the question.

        Raises:
            ConfigError: the client is not installed. ModelError: the endpoint does not answer.
        """
        try:
            import openai
        except ImportError as error:
            raise ConfigError(
                "a chat endpoint needs the openai package. Run pip install 'vigil-video[synth]'."
            ) from error
        pictures = [{"type": "image_url", "image_url": {"url": data_url(frame.image)}} for frame in frames]
        text = {"type": "text", "text": f"{self.instruction}\n{question}"}
        messages: Any = [{"role": "user", "content": [*pictures, text]}]
        with openai.OpenAI(base_url=self.base_url, api_key=self.api_key, timeout=self.timeout_s) as client:
            try:
                done = client.chat.completions.create(
                    model=self.model, messages=messages, max_tokens=self.max_tokens, temperature=0.0
                )
            except openai.OpenAIError as error:
                raise ModelError(f"{self.base_url} did not answer for {self.model!r}: {error}. Check both.") from error
        return (done.choices[0].message.content or "").strip() if done.choices else ""


def data_url(image: Image) -> str:
    """An image as a PNG inside a URL."""
    file = io.BytesIO()
    Pictures.fromarray(image).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


class RecentN(Unseeing):
    """Polls a model with the newest `n` frames and the open question; says the answer when it is another one.

    It polls in the first slot at or after each period, and never while it speaks: it does not see then.
    """

    def __init__(self, model: Answerer, n: int, poll_hz: float) -> None:
        super().__init__()
        if n < 1 or poll_hz <= 0:
            raise ConfigError(f"recent-N wants n of at least 1 and poll_hz above 0, got {n} and {poll_hz}.")
        self._model = model
        self._period_s = 1 / poll_hz
        self._frames: deque[Frame] = deque(maxlen=n)
        self._due_s = 0.0
        self._said = ""

    def see(self, image: Image, t: float) -> None:
        """Keep the frame, and forget the oldest."""
        self._frames.append(Frame(image, t))

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        """Poll about this from now on."""
        super().hear(text, t, standing=standing)
        self._due_s, self._said = t, ""

    def reply(self, t: float) -> Reply:
        """What the model says now, if that is news."""
        if not self.question or not self._frames or t < self._due_s - EPSILON_S:
            return None
        self._due_s = t + self._period_s
        text = self._model.answer(tuple(self._frames), self.question)
        if not text or text == self._said:
            return None
        self._said = text
        return text


def recent_n(model: Answerer, n: int, *, poll_hz: float = 1.0) -> WatcherSystem:
    """A system that polls `model` with the newest `n` frames, `poll_hz` times a second at most."""
    return WatcherSystem(f"recent_{n}", lambda: RecentN(model, n, poll_hz))
