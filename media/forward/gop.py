"""The last key frame of a stream and what followed it: receivers that come now begin there and nobody is asked.

Bounded in packets and age: past that, a fresh key frame costs less than sending the old one with its tail. A hole ends
it too, since what is missing would be missing for whoever begins.
"""

from media.rtp.header import RtpPacket

MOST_PACKETS = 150
MOST_AGE_S = 1.0


class KeyFrameCache:
    def __init__(self) -> None:
        self._packets: list[RtpPacket] = []
        self._began_at = 0.0
        self._live = False

    def add(self, packet: RtpPacket, starts_key_frame: bool, now: float) -> None:
        """Every packet of the stream with a payload, in the order of arrival."""
        if starts_key_frame and not (self._live and self._packets[0].timestamp == packet.timestamp):
            self._packets = [packet]
            self._began_at = now
            self._live = True
        elif self._live:
            if len(self._packets) >= MOST_PACKETS:
                self.forget()
            else:
                self._packets.append(packet)

    def forget(self) -> None:
        """Nobody can begin before the next key frame."""
        self._packets = []
        self._live = False

    def packets(self, now: float) -> list[RtpPacket]:
        """From the key frame to the newest, without a hole; empty when there is nothing fit to begin with."""
        if not self._live or now - self._began_at > MOST_AGE_S:
            return []
        first = self._packets[0].sequence
        ordered = sorted(self._packets, key=lambda packet: (packet.sequence - first) & 0xFFFF)
        if any((packet.sequence - first) & 0xFFFF != place for place, packet in enumerate(ordered)):
            return []
        return ordered
