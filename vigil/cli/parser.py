"""Reading arguments: help written by hand, and errors of one line that name the flag."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Literal, NoReturn

from vigil.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """An argument parser that prints `help_text` as it is and raises `ConfigError` (exit code 2)."""

    def __init__(self, name: str, help_text: str) -> None:
        super().__init__(prog=f"vigil {name}", allow_abbrev=False)
        self.help_text = help_text

    def format_help(self) -> str:
        """The text that was given."""
        return self.help_text

    def error(self, message: str) -> NoReturn:
        """Report a wrong argument.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{message}. Run {self.prog} --help.")


def positive(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def count(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def probability(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def speed(text: str) -> float | Literal["max"]:
    """A factor above 0, or "max"."""
    return "max" if text == "max" else positive(text)


@dataclass(frozen=True, slots=True)
class Question:
    """A question given on the command line."""

    text: str
    at_s: float = 0.0
    standing: bool = False


class AddQuestion(argparse.Action):
    """Collects `--ask TEXT`, `--ask-at S TEXT` and `--watch-for TEXT` in the order in which they were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Add one question."""
        *at, text = map(str, values if isinstance(values, list) else [values])
        text = text.encode("utf-8", "replace").decode("utf-8")  # bytes that are no text came as lone surrogates
        if not text.strip():
            raise argparse.ArgumentError(self, "the text is empty")
        question = Question(text, at_s=seconds(self, at[0]) if at else 0.0, standing=option_string == "--watch-for")
        namespace.questions = [*(namespace.questions or []), question]


def seconds(flag: argparse.Action, text: str) -> float:
    """A video time, at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentError(flag, f"{text!r} is not a number of seconds")
    return value
