"""Who submits a command."""

from typing import Literal

import msgspec

from rooms.ids import AccountId, DelegateId, HallId

Role = Literal["host", "secretary", "technician"]
ActorKind = Literal["host", "secretary", "technician", "hall", "delegate", "server"]


class ActorBase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="actor"):
    @property
    def kind(self) -> ActorKind:
        raise NotImplementedError

    @property
    def key(self) -> str:
        """Who it was, for the log: "<kind>:<id>"."""
        raise NotImplementedError


class Staff(ActorBase, frozen=True, tag="staff"):
    """A person with an account: host, secretary or technician."""

    id: AccountId
    name: str
    role: Role

    @property
    def kind(self) -> ActorKind:
        return self.role

    @property
    def key(self) -> str:
        return f"staff:{self.id}"


class HallActor(ActorBase, frozen=True, tag="hall"):
    """The page (or device) that stands in a hall."""

    id: HallId

    @property
    def kind(self) -> ActorKind:
        return "hall"

    @property
    def key(self) -> str:
        return f"hall:{self.id}"


class DelegateActor(ActorBase, frozen=True, tag="delegate"):
    """A delegate's phone."""

    id: DelegateId

    @property
    def kind(self) -> ActorKind:
        return "delegate"

    @property
    def key(self) -> str:
        return f"delegate:{self.id}"


class Server(ActorBase, frozen=True, tag="server"):
    """The server itself: the clock, the media node, the sample meeting."""

    @property
    def kind(self) -> ActorKind:
        return "server"

    @property
    def key(self) -> str:
        return "server:"


Actor = Staff | HallActor | DelegateActor | Server

SERVER = Server()
STAFF: frozenset[ActorKind] = frozenset({"host", "secretary", "technician"})
