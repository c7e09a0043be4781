"""Leases: for what one process must do for all of them, such as arranging the media nodes.

A holder has a fencing token, greater than that of every holder before it. Whoever takes orders from holders (a media
node) keeps the greatest token it has seen and refuses orders with a smaller one; so a holder that was cut off, and does
not know yet that another has followed, does no harm. That is why a holder goes on while the place where leases are kept
is away: either nobody could take its place, or its orders are refused.
"""

import itertools
from collections.abc import Callable
from typing import Protocol

Changed = Callable[[int | None], None]
"""Told the token when the lease was taken here, None when it was lost or given back. Must not block or raise."""


class Lease(Protocol):
    """One thing that one process does. `name` says which."""

    name: str

    @property
    def token(self) -> int | None:
        """The fencing token while it is held here, None otherwise."""

    def listen(self, changed: Changed) -> None:
        """Call it at every change from now on; at once if the lease is held already."""

    async def run(self) -> None:
        """Take it when it is free, and renew it, until cancelled; then it is given back."""


class Leases(Protocol):
    """Where leases are had."""

    def lease(self, name: str) -> Lease:
        """The lease of that name. Its `run` must be running for it to be taken."""


class OwnLease:
    """A process that is alone holds every lease from the start."""

    def __init__(self, name: str, token: int) -> None:
        self.name = name
        self._token = token

    @property
    def token(self) -> int | None:
        return self._token

    def listen(self, changed: Changed) -> None:
        changed(self._token)

    async def run(self) -> None:
        """There is nothing to renew."""


class OwnLeases:
    """`first` is a number that grows from one run of the server to the next, so that the nodes of the server before
    believe this one."""

    def __init__(self, first: int) -> None:
        self._tokens = itertools.count(first)

    def lease(self, name: str) -> Lease:
        return OwnLease(name, next(self._tokens))
