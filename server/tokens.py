"""Signed tokens: who may join what. They hold ids only, and nothing that lasts is kept of them."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Literal

import msgspec
from itsdangerous import BadSignature, URLSafeSerializer, URLSafeTimedSerializer

from rooms.ids import AccountId, MeetingId

Kind = Literal["staff", "hall", "delegate", "seat"]
SESSION_S = 12 * 3600
MOST_VERIFIED = 20_000
"""Tokens whose signature was found good and need not be computed again when a phone comes back."""


class BadToken(Exception):
    """Not made by this server, or damaged, or too old."""


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """What a join token says. kind "seat" is a hall's QR code for its delegates: it only lets one choose a name."""

    kind: Kind
    meeting: MeetingId
    id: str
    epoch: int = 0


def fresh_secret() -> bytes:
    """256 random bits, as text."""
    return os.urandom(32).hex().encode()


def load_secret(path: Path) -> bytes:
    """The server's signing secret, made at the first start."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(fresh_secret())
    return path.read_bytes()


class Tokens:
    def __init__(self, secret: bytes) -> None:
        self._join = URLSafeSerializer(secret, salt="join")
        self._staff = URLSafeTimedSerializer(secret, salt="staff-join")
        self._session = URLSafeTimedSerializer(secret, salt="session")
        self._verified: OrderedDict[str, Grant] = OrderedDict()

    def join(self, grant: Grant) -> str:
        signer = self._staff if grant.kind == "staff" else self._join
        token: str | bytes = signer.dumps(msgspec.to_builtins(grant))
        return token if isinstance(token, str) else token.decode()

    def read_join(self, token: str) -> Grant:
        """Raises `BadToken`. Staff tokens end with the session's time; others hold until their epoch is raised."""
        if len(token) > 500:
            raise BadToken
        known = self._verified.get(token)
        if known is not None:
            return known
        for kind in ("join", "staff"):
            try:
                told = self._join.loads(token) if kind == "join" else self._staff.loads(token, max_age=SESSION_S)
                grant = msgspec.convert(told, Grant)
            except (BadSignature, msgspec.ValidationError):
                continue
            if kind == "join":  # these hold for ever; what a grant is worth now is asked of the meeting
                self._verified[token] = grant
                if len(self._verified) > MOST_VERIFIED:
                    self._verified.popitem(last=False)
            return grant
        raise BadToken

    def session(self, account: AccountId) -> str:
        token: str | bytes = self._session.dumps(account)
        return token if isinstance(token, str) else token.decode()

    def read_session(self, token: str) -> AccountId:
        """Raises `BadToken`."""
        try:
            account = self._session.loads(token, max_age=SESSION_S)
        except BadSignature as error:
            raise BadToken from error
        if not isinstance(account, str):
            raise BadToken
        return AccountId(account)
