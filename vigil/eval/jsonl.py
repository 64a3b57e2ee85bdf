"""Typed lines of JSON: a dataclass is the format, and every line that breaks it is named.

Used by the event log and by the truth file. A field's annotation says what a line may hold: `float` (any finite
number), `int`, `str`, `bool`, a `Literal`, `X | None`, `tuple[str, ...]` (a list) or `dict[str, float]` (an object). A
field with a default may be left out. A field whose JSON name is a Python keyword gives it as `metadata={"key": ...}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from vigil.errors import DataError, SourceError

Row = TypeVar("Row")


@cache
def _columns(cls: Any) -> dict[str, tuple[Field[Any], Any]]:
    """JSON name -> (dataclass field, resolved annotation)."""
    hints = get_type_hints(cls)
    return {f.metadata.get("key", f.name): (f, hints[f.name]) for f in fields(cls)}


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(hint))
    if get_origin(hint) is UnionType:
        return " or ".join(_describe(part) for part in get_args(hint))
    names = {float: "a finite number", int: "a whole number", str: "a string", bool: "true or false", NoneType: "null"}
    return names.get(hint) or ("a list of strings" if get_origin(hint) is tuple else "an object of numbers")


def _convert(value: Any, hint: Any) -> Any:
    """Return `value` as the annotation asks; raise TypeError where it does not fit."""
    origin = get_origin(hint)
    if origin is UnionType:
        if value is None and NoneType in get_args(hint):
            return None
        return _convert(value, next(part for part in get_args(hint) if part is not NoneType))
    if origin is Literal:
        if value in get_args(hint) and not isinstance(value, bool):
            return value
    elif origin is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif origin is dict:
        if isinstance(value, dict):
            return {name: _convert(number, float) for name, number in value.items()}
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
            return float(value)
    elif type(value) is hint:
        return value
    raise TypeError(hint)


def row_from_json(cls: type[Row], values: Mapping[str, Any], *, where: str) -> Row:
    """Build one typed row; `values` is the JSON object without its `k`.

    Raises:
        DataError: a field is missing, unknown or does not fit; the text begins with `where`.
    """
    columns = _columns(cast(Hashable, cls))
    if unknown := sorted(set(values) - set(columns)):
        raise DataError(f"{where} has the unknown field {unknown[0]!r}. It may have: {', '.join(columns)}.")
    converted: dict[str, Any] = {}
    for name, (spec, hint) in columns.items():
        if name not in values:
            if spec.default is MISSING:
                raise DataError(f"{where} lacks the field {name!r}, which must be {_describe(hint)}.")
            continue
        try:
            converted[spec.name] = _convert(values[name], hint)
        except TypeError:
            raise DataError(
                f"{where} has {name!r} = {json.dumps(values[name])[:80]}, which must be {_describe(hint)}."
            ) from None
    return cls(**converted)


def row_to_json(row: Any) -> dict[str, Any]:
    """Spell a typed row as a JSON object without its `k`; an optional field at its default is left out."""
    spelled = {}
    for name, (spec, _) in _columns(cast(Hashable, type(row))).items():
        value = getattr(row, spec.name)
        if spec.default is MISSING or value != spec.default:
            spelled[name] = list(value) if isinstance(value, tuple) else value
    return spelled


def json_lines(lines: Iterable[str], *, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Parse lines one by one and yield ("<where> line 3", object); blank lines are skipped.

    Raises:
        DataError: a line is not a JSON object, or holds no `k` that is a string.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        here = f"{where} line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits, or a thousand brackets
            raise DataError(f"{here} is not JSON: {error}.") from error
        if not isinstance(values, dict) or not isinstance(values.get("k"), str):
            raise DataError(f'{here} is not an object with a kind "k". Each line must be {{"k": ..., ...}}.')
        yield here, values


def read_lines(path: Path) -> list[str]:
    """Read a UTF-8 text file as lines; a lone surrogate, as in a question typed as other bytes, is let through.

    Raises:
        SourceError: the file cannot be opened. DataError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8", errors="surrogatepass").split("\n")
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}.") from error
