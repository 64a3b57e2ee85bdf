"""JSON from strangers: everything that could bite later is refused before anything is built from it."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal

MAX_INT = 2**53
"""Every integer up to here is exact in JavaScript too."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_UNSAFE = re.compile("[\x00\ud800-\udfff]")


def parse_object(text: str, limits: Limits, *, most_bytes: int | None = None) -> dict[str, Any]:
    """Read one JSON object; `most_bytes` stands in for `json_bytes` where media may be inside.

    Refused: more than `json_bytes`, nesting deeper than `json_depth`, NaN and Infinity, numbers beyond a double,
    integers above 2**53, the same key twice, lone surrogates and NUL in any string, anything that is no object.

    Raises:
        Refusal: `too_large` or `bad_json`.
    """
    most_bytes = most_bytes or limits.json_bytes
    if len(text) > most_bytes or len(text.encode("utf-8", "surrogatepass")) > most_bytes:
        raise Refusal("too_large")
    if _depth(text) > limits.json_depth:
        raise Refusal("bad_json")
    try:
        value = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_refuse, parse_int=_integer, parse_float=_number
        )
    except (ValueError, RecursionError) as error:
        raise Refusal("bad_json") from error
    if not isinstance(value, dict):
        raise Refusal("bad_json")
    _check_strings(value)
    return value


def is_safe_text(text: str) -> bool:
    """Whether text has neither a lone surrogate nor NUL."""
    return _UNSAFE.search(text) is None


def _depth(text: str) -> int:
    """Deepest nesting, found without recursion; brackets inside strings do not count."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the same key twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_INT:
        raise ValueError("an integer above 2**53")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number beyond a double")
    return number


def _check_strings(value: Any) -> None:
    if isinstance(value, str):
        if not is_safe_text(value):
            raise Refusal("bad_json")
    elif isinstance(value, dict):
        for key, entry in value.items():
            _check_strings(key)
            _check_strings(entry)
    elif isinstance(value, list):
        for entry in value:
            _check_strings(entry)
