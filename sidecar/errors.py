"""The exception tree. Anything that is not one of these is a bug and must surface."""

from __future__ import annotations


class SidecarError(Exception):
    """Base of every error that the program raises on purpose."""


class ConfigError(SidecarError):
    """The configuration is invalid. `problems` has one line each: what, where it came from, what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DecodeError(SidecarError):
    """Bytes that are not what they claim to be; nothing in the payload is usable.

    `offset` is the byte in the (decompressed) payload at which reading stopped, None where that has no meaning.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.offset = offset


class TooLarge(DecodeError):
    """A payload over the size limit after decompression; the message says the limit in bytes."""


class Overloaded(SidecarError):
    """Come back later: over the in-flight budget, or the journal is at its quota. `retry_after` in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(SidecarError):
    """The journal cannot write, or the program is stopping. `retry_after` in seconds."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unauthenticated(SidecarError):
    """No credentials, or wrong ones."""


class Permanent(SidecarError):
    """The destination rejects for good: it would reject the same bytes again. `reason` is the destination's own."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Retryable(SidecarError):
    """The destination may accept it later. `retry_after` in seconds where the destination gave it."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
