"""What the package itself must never do, and text that must never become control, in bulk (S11, P1, P3)."""

from __future__ import annotations

import ast
import random
import threading
from pathlib import Path

import pytest

import vigil
from tests.fakes import ScriptedModel, byte_tokenizer
from tests.serve.serving import serving
from vigil.model.tokens import SPECIAL_TOKENS, Tokenizer

PACKAGE = Path(vigil.__file__).parent
FORBIDDEN_CALLS = {"eval", "exec", "compile_command", "os.system", "os.popen", "pickle.load", "pickle.loads"}
FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "dill", "joblib"}


def name_of(node: ast.expr) -> str:
    """A dotted name, or ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := name_of(node.value)):
        return f"{base}.{node.attr}"
    return ""


def findings(source: str) -> list[str]:
    """What runs code that came as data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"imports {name}" for name in names if name.partition(".")[0] in FORBIDDEN_IMPORTS]
        elif isinstance(node, ast.Call):
            name, named = name_of(node.func), {word.arg: word.value for word in node.keywords}
            found += [f"calls {name}"] if name in FORBIDDEN_CALLS else []
            trusts = {arg for arg in ("shell", "trust_remote_code") if arg in named and not is_false(named[arg])}
            found += [f"{arg} in {name}" for arg in trusts]
            if name == "torch.load" and not is_true(named.get("weights_only")):
                found.append("torch.load of anything but weights")
    return found


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def test_s11_no_file_of_the_package_runs_code_that_came_as_data() -> None:
    found = {str(path.relative_to(PACKAGE)): findings(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "torch.load('x')",
        "torch.load('x', weights_only=False)",
        "subprocess.run('ls', shell=True)",
        "AutoModel.from_pretrained('x', trust_remote_code=True)",
        "os.system('ls')",
    ],
)
def test_s11_control_each_forbidden_line_is_found(line: str) -> None:
    assert findings(line) != []


DISGUISES = ("{}", " {}", "{}\n", "a{}b", "{}{}", "\u200b{}", "{}\0", "«{}»")


def test_p1_no_text_that_a_client_sends_becomes_control() -> None:
    """Questions and the system text, through a real socket; every id that the model is fed is looked at."""
    model = ScriptedModel()
    control = set(model.tokenizer.control_ids)
    fed: list[int] = []
    decode = model.decode

    def decode_and_note(input_ids_T, *args, **named):  # type: ignore[no-untyped-def]
        fed.extend(input_ids_T.tolist())
        return decode(input_ids_T, *args, **named)

    model.decode = decode_and_note  # type: ignore[method-assign]
    texts = [form.replace("{}", token) for token in SPECIAL_TOKENS for form in DISGUISES if "\0" not in form]
    system, question = "".join(texts[:20]), " ".join(texts)
    with serving(model) as served:
        plain = served.session("plain-001", sources=[], system="x")
        plain.ask("x")
        plain.until("turn.started", turn=1)
        plain.done(plain.command("session.close", mode="now"))
        baseline = {token: fed.count(token) for token in control}
        fed.clear()
        client = served.session("control-1", sources=[], system=system)
        client.ask(question)
        client.until("turn.started", turn=1)
        client.done(client.command("session.close", mode="now"))
    assert {token: fed.count(token) for token in control} == baseline
    assert len(fed) > len(system.encode()) + len(question.encode())


def mixed(tokenizer: Tokenizer, texts: list[str], expected: list[list[int]], rounds: int) -> list[int]:
    """Two threads that encode and decode with one tokenizer; texts that came out differently."""
    wrong: list[int] = []

    def work(start: int) -> None:
        order = random.Random(start)
        for _ in range(rounds):
            at = order.randrange(len(texts))
            if tokenizer.encode(texts[at]) != expected[at]:
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


@pytest.mark.tier_p
def test_p3_two_threads_that_share_a_tokenizer_do_not_disturb_each_other() -> None:
    tokenizer, rng = byte_tokenizer(), random.Random(1)
    alphabet = [*"abc é\u2028\U0001f600", *SPECIAL_TOKENS]
    texts = ["".join(rng.choices(alphabet, k=rng.randrange(30))) for _ in range(200)]
    assert mixed(tokenizer, texts, [tokenizer.encode(text) for text in texts], 50_000) == []
