"""Identifiers. All are short strings that are safe in URLs, file names and logs."""

from typing import NewType

MeetingId = NewType("MeetingId", str)
AccountId = NewType("AccountId", str)
HallId = NewType("HallId", str)
DelegateId = NewType("DelegateId", str)
ItemId = NewType("ItemId", str)
DocumentId = NewType("DocumentId", str)
QuestionId = NewType("QuestionId", str)
SpeakerId = NewType("SpeakerId", str)
PollId = NewType("PollId", str)
CommandId = NewType("CommandId", str)
FeedId = NewType("FeedId", str)
"""A published source: "<endpoint>/<source>", for a hall "<hall id>/camera", "/microphone" or "/content"."""

Key = NewType("Key", str)
"""A record's place in the meeting: "<kind>/<id>"."""
