"""vigil as a model of lmms-eval, found through the entry point group `lmms_eval.models`.

    lmms-eval --model vigil --model_args pretrained=nano,fps=1 --tasks videomme --batch_size 1

`VigilChat` takes the messages of a task, `VigilSimple` (`--force_simple`) also tasks of several rounds. Both are made
when lmms-eval asks for them, so that this file can be imported without it. Checked against lmms-eval 0.7.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from vigil.errors import ConfigError
from vigil.eval.asking import Asker

IMAGE_PLACEHOLDER = "<image>"


def manifest() -> Any:
    """What lmms-eval registers."""
    registry = import_module("lmms_eval.models.registry_v2")
    return registry.ModelManifest(
        model_id="vigil",
        simple_class_path=f"{__name__}.VigilSimple",
        chat_class_path=f"{__name__}.VigilChat",
    )


def __getattr__(name: str) -> Any:
    """Make a model class on top of the interface of lmms-eval."""
    mixins = {"VigilSimple": _Simple, "VigilChat": _Chat}
    if name not in mixins:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    base = import_module("lmms_eval.api.model").lmms
    made = type(name, (mixins[name], base), {"is_simple": name == "VigilSimple", "__module__": __name__})
    globals()[name] = made
    return made


class _Vigil:
    """The part that both classes share."""

    task_dict: dict[str, Any]

    def __init__(
        self, pretrained: str = "nano", fps: float = 1.0, batch_size: int | str = 1, device: str | None = None, **_: Any
    ) -> None:
        """Load a model: "nano", a folder, or a hub name. The batch size must be 1; further arguments are not used."""
        import vigil

        super().__init__()
        if int(batch_size) != 1:
            raise ConfigError(f"vigil answers one question at a time, got batch_size={batch_size}. Use --batch_size 1.")
        model = vigil.load(str(pretrained))
        self._asker = Asker(model=model.to(device) if device else model, fps=float(fps))

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Not there: tasks that compare likelihoods cannot be run."""
        raise NotImplementedError("vigil generates answers; choose a task whose output_type is generate_until.")

    def _document(self, task: str, split: str, doc_id: int) -> Any:
        return self.task_dict[task][split][doc_id]

    def _said(self, media: Sequence[Any], text: str, wanted: dict[str, Any]) -> str:
        until = wanted.get("until") or []
        ends = [until] if isinstance(until, str) else list(until)
        question = text.replace(IMAGE_PLACEHOLDER, "").strip()
        return self._asker.ask(media, question, max_tokens=wanted.get("max_new_tokens"), until=ends)


class _Simple(_Vigil):
    """Context, pictures, answer; also over several rounds."""

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """One answer per request, in their order."""
        return [self._one(*request.args) for request in requests]

    def _one(self, context: str, wanted: dict[str, Any], visual: Any, doc_id: int, task: str, split: str) -> str:
        return self._said(flat(visual(self._document(task, split, doc_id))), context, wanted)

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[list[str]]:
        """Per request the answers of all its rounds; a task decides after each round what comes next."""
        return [self._rounds(request.args) for request in requests]

    def _rounds(self, args: Sequence[Any]) -> list[str]:
        context, wanted, visual, next_round, doc_id, task, split = args
        document = self._document(task, split, doc_id)
        media, said, info, k = flat(visual(document)), [], None, 0
        while True:
            said.append(self._said(media, context, wanted))
            k += 1
            new, context, stops, outputs, info = next_round(
                document, previous_output=said, round_idx=k, previous_round_info=info
            )
            said = list(outputs)
            if stops:
                return said
            media = media if new is None else flat(new)


class _Chat(_Vigil):
    """Messages with pictures between the words."""

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """One answer per request, in their order."""
        return [self._one(*request.args) for request in requests]

    def _one(self, context: str, to_messages: Any, wanted: dict[str, Any], doc_id: int, task: str, split: str) -> str:
        raw = to_messages(self._document(task, split, doc_id))
        messages = import_module("lmms_eval.protocol").ChatMessages(messages=raw)
        images, videos, _ = messages.extract_media()
        texts = [part.text for message in messages.messages for part in message.content if part.type == "text"]
        return self._said([*videos, *images], "\n".join(texts), wanted)

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[list[str]]:
        """Not there: the interface gives chat models no pictures of later rounds."""
        raise NotImplementedError("a task of several rounds needs the simple model. Run lmms-eval with --force_simple.")


def flat(visuals: Any) -> list[Any]:
    """Pictures as one list: tasks give one, a list, a list of lists, or none."""
    if visuals is None:
        return []
    if isinstance(visuals, list | tuple):
        return [one for visual in visuals for one in flat(visual)]
    return [visuals]
