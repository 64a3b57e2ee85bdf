"""Every error that vigil raises on purpose, in one tree.

VigilError                   exit code 1
├── ConfigError              2   a setting has an impossible value
├── ShapeError               1   a tensor does not have the shape that a function asks for
├── GrammarError             1   tokens in an order that the slot grammar forbids
├── MemoryFull               1   a frame or text memory is full and may not evict
├── CapacityError            1   an engine has no room for one more session
├── SourceError              3   a video source could not be opened
│   └── SourceLost           4   a source that was open went away
├── MediaError               7   a source opened, but holds nothing that can be decoded
├── DataError                7   a record, caption or event-log file breaks its format
├── OutputError              5   a result could not be written
│   └── StorageError         5   the event log on disk cannot go on
├── BadSequence              1   a command's number is not the next one
└── ModelError               6   a model could not be loaded or run
    ├── CheckpointError      6   tensors missing, left over, or of the wrong shape
    └── TokenizerError       6   no tokenizer, or a special token it lacks

Each class carries `exit_code`, which the command line returns (the list is in the README).
The text of an error says what happened with the values, then what to change by its real name.
"""


class VigilError(Exception):
    """Base of all errors that vigil raises on purpose."""

    exit_code = 1


class ConfigError(VigilError, ValueError):
    """A setting has an impossible value."""

    exit_code = 2


class ShapeError(VigilError, ValueError):
    """A tensor does not have the shape that a function asks for."""


class GrammarError(VigilError, ValueError):
    """Tokens in an order that the slot grammar forbids."""


class MemoryFull(VigilError):
    """A frame or text memory is full and may not evict."""


class CapacityError(VigilError):
    """An engine has no room for one more session; those that run are not affected."""


class SourceError(VigilError, OSError):
    """A video source could not be opened."""

    exit_code = 3


class SourceLost(SourceError):
    """A source that was open went away."""

    exit_code = 4


class MediaError(VigilError):
    """A source opened, but holds nothing that can be decoded."""

    exit_code = 7


class DataError(VigilError, ValueError):
    """A record, caption or event-log file breaks its format."""

    exit_code = 7


class OutputError(VigilError, OSError):
    """A result could not be written."""

    exit_code = 5


class StorageError(OutputError):
    """The event log on disk cannot go on; nothing that was acknowledged is lost."""


class BadSequence(VigilError, ValueError):
    """A command's number is not the next one of its client."""


class ModelError(VigilError):
    """A model could not be loaded or run."""

    exit_code = 6


class CheckpointError(ModelError):
    """Tensors are missing, left over, or of the wrong shape."""


class TokenizerError(ModelError):
    """There is no tokenizer, or it lacks a special token."""
