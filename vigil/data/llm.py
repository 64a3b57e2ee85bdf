"""A language model as the writer of records, over any server that speaks the OpenAI chat interface.

The model sees a timeline of what each second shows, and writes questions and timed replies as JSON. Nothing it writes
is trusted: each conversation is checked against the captions like any other, shown its faults once, and rejected with
its reasons if they remain. Answers of the server are kept on disk under the hash of the request, so that a stopped or
repeated run asks nothing twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.data.check import Problem, check
from vigil.data.chunks import write_atomically
from vigil.data.pipeline import Chunk, ChunkResult, PipelineConfig
from vigil.data.records import Record, Reply, Turn
from vigil.data.timeline import Timeline
from vigil.errors import ConfigError, ModelError
from vigil.types import DenseCaptions

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_TASK = """\
You write a conversation between a user and an assistant that watches a video while it plays. Below is what the video \
shows, and when. The assistant knows at each moment only what has been shown by then.

Write {num_questions} question(s) a user would ask at some time. For each, write every reply that is due, with the \
second at which it is due: the first whole second at which its fact can be seen, never earlier. Two kinds of question \
exist: about what holds now (each later reply replaces the one before, because it is no longer true), and a standing \
request such as "Tell me when ..." (each later reply is an update). If what is asked for never happens, give no reply. \
Replies are one short sentence, in the words of the timeline.

Answer with JSON alone: {{"turns": [{{"ask_s": 4.5, "question": "...", "standing": false, \
"replies": [{{"time_s": 6, "text": "..."}}]}}]}}. Ask half-way between two seconds, or at 0.

Video of {duration_s} seconds:
{timeline}"""
_AGAIN = "These faults were found:\n{faults}\nWrite the whole JSON again without them."


@dataclass(frozen=True, kw_only=True, slots=True)
class LlmConfig:
    """Which model writes, and how it is asked."""

    url: str
    """Base of the server, such as "http://localhost:8000/v1"."""
    model: str
    api_key: str = ""
    """Empty: the environment variable OPENAI_API_KEY, or none."""
    cache: Path | None = None
    """Folder of kept answers; None keeps none."""
    concurrency: int = 8
    """Requests under way at one time."""
    retries: int = 4
    """Times that a request is repeated after a lost connection, a rate limit or a server error."""
    repairs: int = 1
    """Times that a faulty conversation is shown its faults."""
    timeout_s: float = 120.0
    temperature: float = 0.7
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"the model's url must begin with http:// or https://, got {self.url!r}.")
        if self.concurrency < 1 or self.retries < 0 or self.repairs < 0 or self.timeout_s <= 0:
            raise ConfigError("concurrency must be 1 or more, retries and repairs 0 or more, timeout_s above 0.")


class LlmWriter:
    """Writes and checks conversations; counts what was asked, taken from the cache, kept and rejected."""

    def __init__(self, config: LlmConfig, pipeline: PipelineConfig) -> None:
        """Connect to nothing yet.

        Raises:
            ConfigError: the openai client is not installed.
        """
        try:
            import openai
        except ImportError as error:
            raise ConfigError(
                "openai is not installed. Install the extra: pip install 'vigil-video[synth]'."
            ) from error
        self._config = config
        self._pipeline = pipeline
        self._failed = (openai.OpenAIError,)
        key = config.api_key or os.environ.get("OPENAI_API_KEY", "none")
        self._connect: Callable[[], AsyncOpenAI] = lambda: openai.AsyncOpenAI(
            base_url=config.url, api_key=key, max_retries=config.retries, timeout=config.timeout_s
        )

    def run(self, chunks: Iterator[Chunk], config: PipelineConfig) -> Iterator[ChunkResult]:
        """Run chunks one after another, the conversations of each at the same time; for `make_records`."""
        for number, videos in chunks:
            yield asyncio.run(self._chunk(number, videos))

    async def _chunk(self, number: int, videos: list[DenseCaptions]) -> ChunkResult:
        counts: Counter[str] = Counter(videos=len(videos))
        gate = asyncio.Semaphore(self._config.concurrency)
        async with self._connect() as client:
            asked = [
                self._conversation(client, gate, captions, index, counts)
                for captions in videos
                for index in range(self._pipeline.synth.records_per_video)
            ]
            records = await asyncio.gather(*asked)
        lines = [json.dumps(asdict(record), ensure_ascii=False) for record in records if record]
        counts["records"] += len(lines)
        return ChunkResult(number, lines, +counts)

    async def _conversation(
        self, client: AsyncOpenAI, gate: asyncio.Semaphore, captions: DenseCaptions, index: int, counts: Counter[str]
    ) -> Record | None:
        """One conversation that passes the check, or None with its reasons counted."""
        messages = [{"role": "user", "content": prompt_for(captions, self._pipeline, index)}]
        reasons: set[str] = set()
        for _ in range(1 + self._config.repairs):
            async with gate:
                answer = await self._ask(client, messages, index, counts)
            try:
                record = record_from_answer(answer, captions, index, fps=self._pipeline.synth.fps)
            except ValueError as error:
                reasons, faults = {"unreadable"}, f"It is not the JSON that was asked for: {error}"
            else:
                problems = check(record, captions, self._pipeline.check)
                if not problems:
                    return record
                reasons, faults = {p.rule for p in problems}, "\n".join(_fault(p) for p in problems)
            again = _AGAIN.format(faults=faults)
            messages = [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": again}]
        for reason in sorted(reasons):
            counts[f"rejected {reason}"] += 1
        return None

    async def _ask(self, client: AsyncOpenAI, messages: list[dict[str, str]], index: int, counts: Counter[str]) -> str:
        """The model's answer, from the cache if it has been given before.

        Raises:
            ModelError: the server gave none, in spite of repeated requests.
        """
        config = self._config
        request = {"model": config.model, "messages": messages, "temperature": config.temperature, "seed": index}
        request["max_tokens"] = config.max_tokens
        key = hashlib.sha256(json.dumps([config.url, request], sort_keys=True).encode()).hexdigest()
        kept = config.cache / key[:2] / f"{key}.json" if config.cache else None
        if kept and kept.exists():
            counts["cached"] += 1
            return str(json.loads(kept.read_text(encoding="utf-8")))
        counts["asked"] += 1
        create: Any = client.chat.completions.create
        try:
            answer = (await create(**request)).choices[0].message.content or ""
        except self._failed as error:
            raise ModelError(
                f"{config.url} gave no answer after {1 + config.retries} tries: {error}. What is finished is kept; "
                "run the same command again to go on."
            ) from error
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, json.dumps(answer, ensure_ascii=False))
        return str(answer)


def prompt_for(captions: DenseCaptions, pipeline: PipelineConfig, index: int) -> str:
    """The request for one conversation: the task, and the video's timeline second by second."""
    line = Timeline(captions, pipeline.synth.fps)
    rows = [(line.time_of(line.frame_of(c.start_s)), c.text) for c in captions.captions if c.level != "video"]
    rows += [
        (line.time_of(line.frame_of(s.start_s)), f"{s.subject}: {s.attribute} is {s.value}")
        for s in captions.states
        if (s.attribute, s.value) != ("count", "0")
    ]
    timeline = "\n".join(f"{time_s:g} s: {text}" for time_s, text in sorted(rows))
    questions = random.Random(f"{pipeline.seed}:{captions.id}:{index}").choice((1, 1, 2))
    return _TASK.format(num_questions=questions, duration_s=f"{captions.duration_s:g}", timeline=timeline)


def record_from_answer(answer: str, captions: DenseCaptions, index: int, *, fps: float) -> Record:
    """Build a record from the model's JSON; text around it, such as a code fence, is passed over.

    Raises:
        ValueError: there is no such JSON.
    """
    begin, end = answer.find("{"), answer.rfind("}")
    try:
        rows = json.loads(answer[begin : end + 1])["turns"]
        turns = [
            Turn(
                ask_s=float(row["ask_s"]),
                question=str(row["question"]),
                kind="free",
                standing=bool(row.get("standing", False)),
                replies=tuple(
                    Reply(
                        time_s=max(float(reply["time_s"]), float(row["ask_s"])),
                        text=str(reply["text"]),
                        overtakes=number > 0 and not row.get("standing", False),
                    )
                    for number, reply in enumerate(row.get("replies", []))
                ),
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return Record(
        id=f"{captions.id}:{index}",
        video=captions.video or captions.id,
        duration_s=captions.duration_s,
        turns=(Turn(ask_s=0.0, question="", kind="opening"), *turns),
        fps=fps,
    )


def _fault(problem: Problem) -> str:
    return f"- question {problem.turn}: {problem.message}"
