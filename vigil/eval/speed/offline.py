"""The paper's protocol, and the same with matched vision tokens: a video and a question, then a reply.

TTFT here is from resized frames in host memory to the first token on the host. Frames are noise: no contestant looks at
what they show.

Axes: F frames, H height, W width, C image channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from vigil.eval.speed import qwen
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.contestants import Contestant
from vigil.eval.speed.figures import Bound, Figure, Part, Row
from vigil.eval.speed.scales import matched_px

REPEAT_BELOW_S = 1.0
"""What is over sooner is measured three times, and the median counts."""
TOKEN = 5
"""The token that everyone is made to say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offline:
    """One contestant with one number of frames."""

    name: str
    frames: int
    vision_tokens: float
    encode_s: float
    """Vision encoder, from frames in host memory."""
    prefill_s: float
    """The decoder's share."""
    token_s: float
    """Median over the reply."""
    encode_bound: float
    """Fractions of the bounds: arithmetic, arithmetic, bandwidth."""
    prefill_bound: float
    token_bound: float

    @property
    def ttft_s(self) -> float:
        """Time to first token."""
        return self.encode_s + self.prefill_s

    @property
    def ttft_bound(self) -> float:
        """Fraction of the arithmetic bound."""
        return (self.encode_bound * self.encode_s + self.prefill_bound * self.prefill_s) / self.ttft_s

    def row(self) -> Row:
        """For the table."""
        return {
            "who": self.name,
            "frames": self.frames,
            "vision_tokens": round(self.vision_tokens),
            "encoder_s": self.encode_s,
            "decoder_s": self.prefill_s,
            "ttft_s": self.ttft_s,
            "ms_per_token": 1000 * self.token_s,
            "of_bound: encoder": self.encode_bound,
            "decoder": self.prefill_bound,
            "token": self.token_bound,
        }


def noise(num_frames: int, frame_px: tuple[int, int]) -> Tensor:
    """Resized frames in host memory. Shapes: -> [F, H, W, 3] uint8."""
    few = min(16, num_frames)
    some = torch.randint(0, 256, (few, *frame_px, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return some.repeat(-(-num_frames // few), 1, 1, 1)[:num_frames]


def run(bench: Bench, who: Contestant, num_frames: int) -> Offline:
    """Measure once for all parts."""
    known = bench.offline.get((who.name, num_frames))
    if known is not None:
        return known
    if not any(name == who.name for name, _ in bench.offline):
        bench.note(f"{who.name}: warming up")
        who.prefill(who.encode(noise(2, who.frame_px)), 4)
        who.say(TOKEN)
    bench.note(f"{who.name}: {num_frames} frames offline")
    frames, reply, features = noise(num_frames, who.frame_px), bench.scale.reply_tokens, list[Tensor]()
    encode_s = _time_s(bench, lambda: features.append(who.encode(frames)))
    prefill_s = _time_s(bench, lambda: who.prefill(features[0], reply))
    who.say(TOKEN)
    token_s = median(bench.clock.time_s(lambda: who.say(TOKEN)) for _ in range(reply - 1))
    done = Offline(
        name=who.name,
        frames=num_frames,
        vision_tokens=num_frames * who.tokens_per_frame,
        encode_s=encode_s,
        prefill_s=prefill_s,
        token_s=token_s,
        encode_bound=who.encode_flops(num_frames) / bench.rates.flops_per_s / encode_s,
        prefill_bound=who.prefill_flops(num_frames) / bench.rates.flops_per_s / prefill_s,
        token_bound=who.step_bytes() / bench.rates.bytes_per_s / token_s,
    )
    bench.offline[who.name, num_frames] = done
    return done


def _time_s(bench: Bench, work: Callable[[], object]) -> float:
    first_s = bench.clock.time_s(work)
    if first_s >= REPEAT_BELOW_S:
        return first_s
    return median([first_s, *(bench.clock.time_s(work) for _ in range(2))])


def paper(bench: Bench) -> Part:
    """256 frames of a 1080p video, each model at its own size of frames."""
    ours = run(bench, bench.vigil(), bench.scale.frames)
    theirs = _qwen(bench, "qwen", bench.scale.qwen.frame_px)
    setting = (
        f"{ours.frames} frames of 1080p, {_tokens(ours)} against {_tokens(theirs)} vision tokens, "
        f"reply of {bench.scale.reply_tokens} forced tokens"
    )
    if theirs is None:
        names = ("ttft_ratio_qwen", "decode_ratio_qwen")
        return Part(tuple(Figure(n, None, setting, reason=qwen.why_not()) for n in names), _rows(bench, ours))
    figures = (
        Figure("ttft_ratio_qwen", theirs.ttft_s / ours.ttft_s, setting, Bound("arithmetic", ours.ttft_bound)),
        Figure("decode_ratio_qwen", theirs.token_s / ours.token_s, setting, Bound("bandwidth", ours.token_bound)),
    )
    return Part(figures, _rows(bench, ours, theirs))


def matched(bench: Bench) -> Part:
    """The same with as many vision tokens for all."""
    scale, own = bench.scale, bench.vigil()
    for num in scale.fewer_frames:
        for who in (own, bench.twin()):
            run(bench, who, num)
        _qwen(bench, "qwen matched", matched_px(int(own.tokens_per_frame)), frames=num)
    ours, twin = run(bench, own, scale.frames), run(bench, bench.twin(), scale.frames)
    theirs = _qwen(bench, "qwen matched", matched_px(int(own.tokens_per_frame)))
    setting = f"{ours.frames} resized frames, {_tokens(ours)} vision tokens each side, one prompt"
    bound = Bound("arithmetic", ours.prefill_bound)
    figures = [
        Figure("ttft_ratio_twin", twin.ttft_s / ours.ttft_s, setting, Bound("arithmetic", ours.ttft_bound)),
        Figure("decoder_prefill_ratio_twin", twin.prefill_s / ours.prefill_s, setting, bound),
        Figure("decode_ratio_twin", twin.token_s / ours.token_s, setting, Bound("bandwidth", ours.token_bound)),
    ]
    setting = f"{ours.frames} resized frames, {_tokens(ours)} against {_tokens(theirs)} vision tokens"
    ratio = None if theirs is None else theirs.ttft_s / ours.ttft_s
    figures.append(Figure("ttft_ratio_qwen_matched", ratio, setting, reason="" if theirs else qwen.why_not()))
    return Part(tuple(figures), _rows(bench, ours, twin, theirs))


def _qwen(bench: Bench, name: str, frame_px: tuple[int, int], *, frames: int | None = None) -> Offline | None:
    who = bench.qwen(name, frame_px)
    return None if who is None else run(bench, who, frames or bench.scale.frames)


def _tokens(found: Offline | None) -> str:
    return "no" if found is None else f"{found.vision_tokens:,.0f}"


def _rows(bench: Bench, *shown: Offline | None) -> tuple[Row, ...]:
    """All numbers of frames of those that are shown; a line that says so where Qwen cannot run."""
    names = [found.name for found in shown if found is not None]
    rows = [bench.offline[key].row() for key in sorted(bench.offline) if key[0] in names]
    if qwen.why_not():
        rows.append({"who": f"qwen: {qwen.why_not()}"})
    return tuple(sorted(rows, key=lambda row: names.index(row["who"]) if row["who"] in names else len(names)))
