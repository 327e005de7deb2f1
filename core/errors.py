"""The exceptions of Tracecast; each carries one sentence that says what was wrong and what to do.

TracecastError
├── SettingError
├── QuestionError
├── AccessDenied
├── BodyRefused
├── NotFound
├── SourceError
│   ├── MalformedSegment
│   └── SourceUnavailable
├── StoreError
│   ├── StoreInUse
│   └── StoreFull
└── WorkerLost
"""

__all__ = [
    "AccessDenied",
    "BodyRefused",
    "MalformedSegment",
    "NotFound",
    "QuestionError",
    "SettingError",
    "SourceError",
    "SourceUnavailable",
    "StoreError",
    "StoreFull",
    "StoreInUse",
    "TracecastError",
    "WorkerLost",
]


class TracecastError(Exception):
    """Anything that Tracecast itself refuses or cannot do."""


class SettingError(TracecastError):
    """A setting has a value that can't be used."""


class QuestionError(TracecastError):
    """A parameter of a page or of the API has an unknown name or a bad value."""


class AccessDenied(TracecastError):
    """This caller may not do this; `status` is the HTTP status that says so (401 or 403)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class BodyRefused(TracecastError):
    """The body of a request can't be taken; `status` is the HTTP status that says so (400, 413 or 415)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotFound(TracecastError):
    """What was asked for by name or id is not in the store."""


class SourceError(TracecastError):
    """A source could not be read."""


class MalformedSegment(SourceError):
    """A segment document is refused; `reason` is the short name under which the refusal is counted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["MalformedSegment"], tuple[str, str]]:
        return type(self), (self.reason, str(self))  # with both, it goes from one process to another


class SourceUnavailable(SourceError):
    """A source did not answer, or answered with an error; trying again later may help."""


class StoreError(TracecastError):
    """The store can't be opened, read or written."""


class StoreInUse(StoreError):
    """Another process holds the store's file."""


class StoreFull(StoreError):
    """The disk is too full to accept more; nothing was written."""


class WorkerLost(TracecastError):
    """A process of the pool ended before it had an answer; trying again later may help."""
