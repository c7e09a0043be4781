"""Reading a UDP socket in batches: one `recvmmsg` for what is there, each datagram with its time of arrival.

A burst that was sent in one piece (UDP_SEGMENT) comes in one piece too where the socket is set to `take_bursts_whole`
(UDP_GRO), as it does to a hall behind a network card; else the sender's CPU is charged for cutting it up on loopback.
The buffers are one set for all sockets, so what `read` returned is good until the next `read`.
"""

import errno
import socket
from struct import Struct

import cffi

SLOTS = 32
SLOT = 65_536
_CONTROL = 64
_STAMP_LENGTH = 32  # the timestamp's control message; that of the segments' size comes behind it
_SIZE_AT = _STAMP_LENGTH + 16
UDP_GRO = 104
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


def take_bursts_whole(sock: socket.socket) -> None:
    """What was sent as one run comes as one. Since Linux 5.0; without it each datagram comes by itself."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError:
        return


def dropped_at(sock: socket.socket) -> int:
    """How many datagrams found this socket's buffer full: the receiver's own loss."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)[32:36], "little")


class Batch:
    """`memory` holds datagram `i` at `offsets[i]`."""

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
        self._fresh = bytes(_ffi.buffer(self._messages))
        self.memory = memoryview(_ffi.buffer(self._data))
        self._times = memoryview(_ffi.buffer(self._control))
        self.offsets: list[int] = []
        self._lengths: list[int] = []
        self._came_in: list[int] = []

    def read(self, descriptor: int) -> bool:
        """Takes what came. Whether there may be more. The socket must have SO_TIMESTAMPNS set."""
        self.offsets, self._lengths, self._came_in = [], [], []
        _ffi.memmove(self._messages, self._fresh, len(self._fresh))  # the kernel wrote lengths into it
        number: int = self._library.recvmmsg(descriptor, self._messages, SLOTS, _DONTWAIT, _ffi.NULL)
        if number < 0:
            if _ffi.errno in (errno.EAGAIN, errno.ECONNREFUSED, errno.EINTR):
                return False
            raise OSError(_ffi.errno, "recvmmsg")
        for place in range(number):
            self._cut(place)
        return number == SLOTS

    def _cut(self, place: int) -> None:
        message = self._messages[place]
        start, length = place * SLOT, message.msg_len
        size = length
        if message.msg_hdr.msg_controllen > _STAMP_LENGTH:
            at = place * _CONTROL + _SIZE_AT
            size = int.from_bytes(self._times[at : at + 4], "little") or length
        for offset in range(0, length, max(size, 1)):
            self.offsets.append(start + offset)
            self._lengths.append(min(size, length - offset))
            self._came_in.append(place)

    def datagram(self, place: int) -> bytes:
        start = self.offsets[place]
        return bytes(self.memory[start : start + self._lengths[place]])

    def arrived_ns(self, place: int) -> int:
        """CLOCK_REALTIME when the kernel took the datagram in."""
        seconds, nanoseconds = _TIMESPEC.unpack_from(self._times, self._came_in[place] * _CONTROL + _TIME_AT)
        return int(seconds * 1_000_000_000 + nanoseconds)
