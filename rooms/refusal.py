"""The domain says no, with a stable code. Texts for people belong to the pages' catalogue."""

from enum import StrEnum


class Refusal(StrEnum):
    NOT_ALLOWED = "not_allowed"
    NOT_FOUND = "not_found"
    BAD_VALUE = "bad_value"
    MEETING_CLOSED = "meeting_closed"
    MEETING_NOT_OPEN = "meeting_not_open"
    MEETING_OPEN = "meeting_open"
    WRONG_HALL = "wrong_hall"
    NOT_PRESENT = "not_present"
    PRESENT = "present"
    ALREADY_WAITING = "already_waiting"
    FLOOR_NOT_HELD = "floor_not_held"
    TURN_OVER = "turn_over"
    TOO_MANY_PENDING = "too_many_pending"
    ALREADY_DECIDED = "already_decided"
    NOT_APPROVED = "not_approved"
    IN_USE = "in_use"
    POLL_OPEN = "poll_open"
    POLL_NOT_OPEN = "poll_not_open"
    ALREADY_VOTED = "already_voted"
    NO_VOTE = "no_vote"


class Refused(Exception):
    """Raised by a rule. `code` goes to the client as it is; `field` names the offending field, if one does."""

    def __init__(self, code: Refusal, field: str | None = None) -> None:
        super().__init__(code.value)
        self.code = code
        self.field = field
