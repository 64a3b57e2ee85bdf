"""The tree of errors is what its docstring prints, and each has the exit code that the command line returns."""

from __future__ import annotations

import inspect
import re

import pytest

from vigil import errors

CLASSES: dict[str, type[errors.VigilError]] = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.VigilError)
}


def printed_tree() -> dict[str, tuple[str | None, int]]:
    """Parent and exit code of each class in the docstring."""
    tree: dict[str, tuple[str | None, int]] = {}
    above: list[tuple[int, str]] = []
    for match in re.finditer(r"^([│├└─ ]*)([A-Z]\w+) +(?:exit code )?(\d+)", errors.__doc__ or "", re.MULTILINE):
        depth, name = len(match[1]), match[2]
        above = [(d, n) for d, n in above if d < depth]
        tree[name] = (above[-1][1] if above else None, int(match[3]))
        above.append((depth, name))
    return tree


def test_the_docstring_prints_the_tree_as_it_is() -> None:
    real = {
        name: (None if name == "VigilError" else kind.__mro__[1].__name__, kind.exit_code)
        for name, kind in CLASSES.items()
    }
    assert printed_tree() == real


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_can_be_caught_as_one_of_ours(name: str) -> None:
    with pytest.raises(errors.VigilError, match="what happened"):
        raise CLASSES[name]("what happened")


def test_what_a_library_user_expects_to_catch_is_caught() -> None:
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.ShapeError, ValueError)
    assert issubclass(errors.SourceError, OSError)
