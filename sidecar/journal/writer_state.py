"""What the journal's writer is doing: one state, moved by one function.

WRITING ◄──► VACUUMING      freed space is given back to the file system, a step at a time
   ▲  │          │
   │  ▼          ▼
 FAILING ◄───────┘          the disk takes no commits; they are tried again
   │
   ▼ close (from any of the three)
CLOSING ──► CLOSED          what is queued and what consumers finished is committed; after a failure it is left
            ▲
         BROKEN             a bug ended the writer, from whatever state
"""

from __future__ import annotations

from enum import Enum, auto


class WriterState(Enum):
    WRITING = auto()
    """Commits succeed."""
    VACUUMING = auto()
    """The same, and there is space to give back to the file system."""
    FAILING = auto()
    """The last commit failed."""
    CLOSING = auto()
    """Nothing more is taken; the rest is being committed."""
    CLOSED = auto()
    """Nothing more is committed but what is queued."""
    BROKEN = auto()
    """The writer ended by a bug; nothing more is taken."""


class WriterEvent(Enum):
    COMMITTED = auto()
    COMMIT_FAILED = auto()
    SPACE_TO_VACUUM = auto()
    """A step of vacuum was made and there is more to give back."""
    VACUUMED = auto()
    """There is no more space to give back, or it could not be."""
    CLOSE = auto()
    ENDED = auto()
    """The writer's thread has nothing more to do."""
    BUG = auto()


OPEN = frozenset((WriterState.WRITING, WriterState.VACUUMING, WriterState.FAILING))
"""Submissions and acknowledgements are taken."""

_S, _E = WriterState, WriterEvent
_MOVES: dict[tuple[WriterState, WriterEvent], WriterState] = {
    (_S.WRITING, _E.COMMIT_FAILED): _S.FAILING,
    (_S.WRITING, _E.SPACE_TO_VACUUM): _S.VACUUMING,
    (_S.VACUUMING, _E.COMMIT_FAILED): _S.FAILING,
    (_S.VACUUMING, _E.VACUUMED): _S.WRITING,
    (_S.FAILING, _E.COMMITTED): _S.WRITING,
    (_S.CLOSING, _E.COMMIT_FAILED): _S.CLOSED,
    (_S.CLOSING, _E.ENDED): _S.CLOSED,
    (_S.BROKEN, _E.CLOSE): _S.CLOSED,
    **{(state, _E.CLOSE): _S.CLOSING for state in OPEN},
    **{(state, _E.BUG): _S.BROKEN for state in _S},
}


def transition(state: WriterState, event: WriterEvent) -> WriterState:
    """The state after `event`; the same where the event changes nothing."""
    return _MOVES.get((state, event), state)
