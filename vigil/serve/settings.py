"""How a session was opened and what it has become by updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vigil.config import SamplingConfig
from vigil.serve.limits import Limits
from vigil.serve.protocol import Policy, Sampling, given
from vigil.serve.voice import Voice


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything about a session that a client may choose."""

    system: str = ""
    policy: Policy = field(default_factory=Policy)
    sampling: Sampling = field(default_factory=Sampling)

    def changed(self, policy: Policy | None, sampling: Sampling | None, system: str | None) -> Settings:
        """The settings after an update; what is left out stays."""
        return replace(
            self,
            system=self.system if system is None else system,
            policy=self.policy.model_copy(update=given(policy)) if policy else self.policy,
            sampling=self.sampling.model_copy(update=given(sampling)) if sampling else self.sampling,
        )

    def voice(self, limits: Limits) -> Voice:
        """The same for the model; the server's ceilings win."""
        s, p = self.sampling, self.policy
        return Voice(
            sensitivity=p.sensitivity,
            min_gap_s=p.min_gap_s,
            revise=p.revise,
            sampling=SamplingConfig(
                temperature=s.temperature,
                top_k=s.top_k,
                top_p=s.top_p,
                repetition_penalty=s.repetition_penalty,
                seed=s.seed,
            ),
            max_tokens=min(s.max_tokens, limits.answer_tokens),
        )

    def shown(self, limits: Limits) -> dict[str, Any]:
        """Policy and sampling as the log tells them, after the ceilings."""
        sampling = self.sampling.model_dump()
        sampling["max_tokens"] = min(self.sampling.max_tokens, limits.answer_tokens)
        return {"policy": self.policy.model_dump(), "sampling": sampling}

    @classmethod
    def from_log(cls, settings: Mapping[str, Any], private: Mapping[str, Any]) -> Settings:
        """The settings that a log has folded, and the system text that is kept beside it."""
        return cls(
            system=str(private.get("system", "")),
            policy=Policy.model_validate(settings.get("policy", {})),
            sampling=Sampling.model_validate(settings.get("sampling", {})),
        )
