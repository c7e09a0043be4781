"""The servers that are connected to this node, all at once: each asks and is answered, all are told what happens.

A connection counts from its `Attach` on. Nothing here is kept for a server that is away: `Attached` tells the state.
"""

import asyncio
import time

from media.control import AnyEvent, AnyReply, Event, Reply, encode_frame

MOST_CONTROLLERS = 64
ATTACH_S = 5.0
_MAX_UNSENT = 8 * 1024 * 1024


class Controller:
    """One connection. `listens`: it is told events. `charge`: see `media.control.Attach`. `leaves`: it has asked that
    the node end, and does not need it any more."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.attached = self.listens = False
        self.charge: int | None = None
        self.leaves = False
        self.since = time.monotonic()
        self._writer = writer

    def reply(self, seq: int, body: AnyReply) -> None:
        self.write(encode_frame(Reply(seq=seq, body=body)))

    def write(self, frame: bytes) -> None:
        """A server that does not read is cut off: it attaches again and learns the state."""
        if self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > _MAX_UNSENT:
            self._writer.transport.abort()
            return
        self._writer.write(frame)

    def close(self) -> None:
        """Once what was written is sent."""
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()


class Controllers:
    def __init__(self) -> None:
        self._connected: list[Controller] = []
        self._alone_since = time.monotonic()
        self._greatest = 0

    def take(self, writer: asyncio.StreamWriter) -> Controller:
        """A new connection; where there are too many, the oldest that has not attached yet goes, else the new one."""
        controller = Controller(writer)
        if len(self._connected) >= MOST_CONTROLLERS:
            next((each for each in self._connected if not each.attached), controller).abort()
        self._connected.append(controller)
        return controller

    def attach(self, controller: Controller, *, listens: bool, charge: int | None) -> None:
        controller.attached, controller.listens, controller.charge = True, listens, charge
        self._greatest = max(self._greatest, charge or 0)

    def may_arrange(self, controller: Controller) -> bool:
        return (controller.charge or 0) >= self._greatest

    def release(self, controller: Controller) -> bool:
        """Whether that was the last one."""
        self._connected.remove(controller)
        if not self._connected:
            self._alone_since = time.monotonic()
        return not self._connected

    def others(self, controller: Controller) -> bool:
        """Whether other servers are attached that hear what happens, and do not leave as well."""
        return any(each.listens and not each.leaves for each in self._connected if each is not controller)

    def alone_s(self, now: float) -> float:
        """How long nobody has been here."""
        return 0.0 if self._connected else now - self._alone_since

    def tell(self, event: AnyEvent) -> None:
        listening = [each for each in self._connected if each.listens]
        if listening:
            frame = encode_frame(Event(body=event))
            for each in listening:
                each.write(frame)

    def cut_mute(self, now: float) -> None:
        """Those that connected and never attached."""
        for each in self._connected:
            if not each.attached and now - each.since > ATTACH_S:
                each.abort()

    def close_all(self) -> None:
        for each in self._connected:
            each.close()
