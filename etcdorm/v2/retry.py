"""What may be sent again, and until when. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from etcdorm.v2.transport import AnswerLost, Distrusted, NotSent

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Again:
    """Send the request again, after so many seconds."""

    after: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Send nothing more. ``unconfirmed``: the request may have changed something."""

    unconfirmed: bool


def after_failure(
    failure: NotSent | AnswerLost, *, writes: bool, tries: int, others: int, now: float, deadline: float | None
) -> Again | GiveUp:
    """What to do when an endpoint gave no answer.

    A write whose answer is lost is never sent again: it may have happened, and it may still happen, later. Whatever
    was never sent, and any read, goes to the next endpoint at once, and, when all of them had their turn
    (``tries`` since the call began, ``others`` besides this one), after a pause that grows. A TLS handshake that failed
    fails again, so no second round follows it.
    """
    if writes and isinstance(failure, AnswerLost):
        return GiveUp(unconfirmed=True)
    if isinstance(failure, Distrusted) and tries > others:
        return GiveUp(unconfirmed=False)
    rounds = min((tries - 1) // (others + 1), 10)  # by then the pause has its full length
    pause = 0.0 if tries % (others + 1) else min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**rounds)
    if deadline is not None and now + pause >= deadline:
        return GiveUp(unconfirmed=False)
    return Again(after=pause)
