"""Reading a UDP socket in batches: one `recvmmsg` for what is there, each datagram with its time of arrival.

The buffers are one set for all sockets, so what `read` returned is good until the next `read`.
"""

import errno
import socket
from struct import Struct

import cffi

SLOTS = 64
SLOT = 2048
_CONTROL = 64
_TIMESPEC = Struct("@qq")
_TIME_AT = 16  # behind the control message's header
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
SO_MEMINFO = 55
_DONTWAIT = 0x40

_ffi = cffi.FFI()
_ffi.cdef(
    """
    struct iovec { void *iov_base; size_t iov_len; };
    struct msghdr {
        void *msg_name; unsigned int msg_namelen; struct iovec *msg_iov; size_t msg_iovlen;
        void *msg_control; size_t msg_controllen; int msg_flags;
    };
    struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
    int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, void *timeout);
    """
)


def widen(sock: socket.socket, size: int) -> None:
    """A receive buffer of this size, beyond the system's limit where we may."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def dropped_at(sock: socket.socket) -> int:
    """How many datagrams found this socket's buffer full: the receiver's own loss."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)[32:36], "little")


class Batch:
    """`memory` holds datagram `i` at `i * SLOT`."""

    def __init__(self) -> None:
        self._library = _ffi.dlopen(None)
        self._data = _ffi.new(f"char[{SLOTS * SLOT}]")
        self._control = _ffi.new(f"char[{SLOTS * _CONTROL}]")
        self._vectors = _ffi.new(f"struct iovec[{SLOTS}]")
        self._messages = _ffi.new(f"struct mmsghdr[{SLOTS}]")
        for place in range(SLOTS):
            self._vectors[place].iov_base = self._data + place * SLOT
            self._vectors[place].iov_len = SLOT
            header = self._messages[place].msg_hdr
            header.msg_iov, header.msg_iovlen = self._vectors + place, 1
            header.msg_control, header.msg_controllen = self._control + place * _CONTROL, _CONTROL
        self.memory = memoryview(_ffi.buffer(self._data))
        self._times = memoryview(_ffi.buffer(self._control))

    def read(self, descriptor: int) -> int:
        """How many datagrams came: up to `SLOTS`. The socket must have SO_TIMESTAMPNS set."""
        number: int = self._library.recvmmsg(descriptor, self._messages, SLOTS, _DONTWAIT, _ffi.NULL)
        if number >= 0:
            return number
        if _ffi.errno in (errno.EAGAIN, errno.ECONNREFUSED, errno.EINTR):
            return 0
        raise OSError(_ffi.errno, "recvmmsg")

    def datagram(self, place: int) -> bytes:
        start = place * SLOT
        return bytes(self.memory[start : start + self._messages[place].msg_len])

    def arrived_ns(self, place: int) -> int:
        """CLOCK_REALTIME when the kernel took the datagram in."""
        seconds, nanoseconds = _TIMESPEC.unpack_from(self._times, place * _CONTROL + _TIME_AT)
        return int(seconds * 1_000_000_000 + nanoseconds)
