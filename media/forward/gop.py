"""The last key frame of a stream and what followed it: receivers that come now begin there and nobody is asked.

Bounded in packets and age: past that, a fresh key frame costs less than sending the old one with its tail. A hole ends
it too, since what is missing would be missing for whoever begins. The last few packets are kept in any case: the first
one of a key frame may be lost at first and come after its rest.
"""

from collections import deque

from media.rtp.header import RtpPacket

MOST_PACKETS = 150
MOST_AGE_S = 1.0
_KEPT_ANYWAY = 32
_HALF = 0x8000


class KeyFrameCache:
    def __init__(self) -> None:
        self._packets: list[RtpPacket] = []  # the key frame and what follows it
        self._latest: deque[RtpPacket] = deque(maxlen=_KEPT_ANYWAY)
        self._began_at = 0.0

    def add(self, packet: RtpPacket, starts_key_frame: bool, now: float) -> None:
        """Every packet of the stream, also one of padding alone, which takes a number; in the order of arrival."""
        if starts_key_frame:
            following = [each for each in self._latest if 0 < (each.sequence - packet.sequence) & 0xFFFF < _HALF]
            self._packets = [packet, *following]
            self._began_at = now
        elif len(self._packets) >= MOST_PACKETS:
            self._packets = []
        elif self._packets:
            self._packets.append(packet)
        self._latest.append(packet)

    def forget(self) -> None:
        """Nobody can begin before the next key frame."""
        self._packets = []
        self._latest.clear()

    def packets(self, now: float) -> list[RtpPacket]:
        """From the key frame to the newest, without a hole; empty when there is nothing fit to begin with."""
        if not self._packets or now - self._began_at > MOST_AGE_S:
            return []
        first = self._packets[0].sequence
        ordered = sorted(self._packets, key=lambda packet: (packet.sequence - first) & 0xFFFF)
        if any((packet.sequence - first) & 0xFFFF != place for place, packet in enumerate(ordered)):
            return []
        return ordered
