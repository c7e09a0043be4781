"""A WebRTC client without network: its datagrams go into `Endpoints` and come out of it by hand, and may be lost."""

import contextlib
import itertools
import time
from collections.abc import Callable

from OpenSSL import SSL

from media.control import AnyEvent, PeerChanged
from media.dtls import Identity
from media.endpoints import Endpoints, Outlets, Site
from media.lane import Address, SendRun
from media.rtp.rtcp import AnyRtcp, KeyFrameRequest, parse_rtcp
from media.srtp import PROFILES, Profile, Srtp, srtp_of_server
from media.stun import encode_request

_ports = itertools.count(20000)

OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=ice-ufrag:clnt
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=sendonly
a=rtcp-mux
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=rtpmap:111 opus/48000/2
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:1
a=recvonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
"""
SLOTS = {"0": "microphone", "1": "audio.0"}


class FakeNode:
    """`Endpoints` with a hand-made clock. `loses` decides about each datagram, in either direction.

    `nodes` are other nodes by their addresses, shared by all of them.
    """

    def __init__(self, port: int = 4000, nodes: "dict[Address, FakeNode] | None" = None) -> None:
        self.now = 1000.0
        self.address: Address = ("127.0.0.1", port)
        self.nodes: dict[Address, FakeNode] = {} if nodes is None else nodes
        self.nodes[self.address] = self
        self.events: list[AnyEvent] = []
        self.log: list[tuple[str, dict[str, object]]] = []
        self.loses: Callable[[bytes], bool] = lambda data: False
        self.clients: dict[Address, Client] = {}
        self.endpoints = Endpoints(
            Site(("127.0.0.1",), 3_900_000_000.0, port),
            Outlets(self, self.events.append, lambda event, **fields: self.log.append((event, fields))),
        )

    def send(self, datagram: bytes, address: Address) -> None:
        if self.loses(datagram):
            return
        client = self.clients.get(address)
        if client is not None:
            client.inbox.append(datagram)
        elif address in self.nodes:
            self.nodes[address].receive(datagram, self.address)

    def send_run(self, data: bytes, segment: int, address: Address) -> bool:
        for start in range(0, len(data), segment):
            self.send(data[start : start + segment], address)
        return True

    def begin_runs(self, segment: int) -> SendRun | None:
        return lambda data, address: self.send_run(data, segment or len(data), address)

    def end_runs(self, *, worked: bool) -> None:
        """Nothing to undo."""

    def receive(self, data: bytes, address: Address) -> None:
        if not self.loses(data):
            self.endpoints.port.receive(data, address, self.now)
            self.endpoints.flush(self.now)

    def wait(self, seconds: float, step_s: float = 0.05) -> None:
        for _ in range(round(seconds / step_s)):
            self.now += step_s
            self.tick()
            for client in list(self.clients.values()):
                client.read()

    def tick(self) -> None:
        """All at once."""
        steps = self.endpoints.tick(self.now)
        with contextlib.suppress(StopIteration):
            next(steps)
            while True:
                steps.send(self.now)

    def states(self, endpoint: str) -> list[str]:
        return [each.state for each in self.events if isinstance(each, PeerChanged) and each.endpoint == endpoint]

    def reasons(self) -> list[object]:
        return [fields["reason"] for event, fields in self.log if event == "peer_closed"]


class Client:
    """One PeerConnection of an endpoint, with `publish_as` of an encoder. `address` may be changed, as networks do."""

    def __init__(
        self, node: FakeNode, name: str, *, fingerprint: str | None = None, profile: Profile | None = None
    ) -> None:
        self.node = node
        self.name = name
        self.address: Address = ("192.0.2.9", next(_ports))
        self.inbox: list[bytes] = []
        self.media: list[bytes] = []
        self.feedback: list[AnyRtcp] = []
        self.srtp: Srtp | None = None
        self.closed = False
        self.answers = 0
        self.publish_as: str | None = None
        self._identity = Identity()
        self._fingerprint = fingerprint or self._identity.fingerprint
        self._profile = profile
        self._password = ""
        self._username = ""
        self._tls = self._connection()
        node.clients[self.address] = self

    def _connection(self) -> SSL.Connection:
        context = self._identity.context
        if self._profile is not None:
            context.set_tlsext_use_srtp(self._profile.name.encode())
        tls = SSL.Connection(context, None)
        tls.set_connect_state()
        tls.set_ciphertext_mtu(1200)
        return tls

    def offer(self) -> None:
        sdp = OFFER.format(fingerprint=self._fingerprint).replace("\n", "\r\n")
        slots, places = (SLOTS, ()) if self.publish_as is None else ({}, ("camera", "microphone", "audio.0"))
        answer = self.node.endpoints.offer(
            "g", self.name, sdp, slots, self.node.now, places_by_kind=places, publish_as=self.publish_as
        )
        self.take_answer(answer)

    def restart(self, ufrag: str) -> None:
        """An ICE restart; from now on checks are under the new credentials."""
        answer = self.node.endpoints.restart("g", self.name, f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{'p' * 24}\r\n")
        assert answer is not None
        self.take_answer(answer, ufrag)

    def take_answer(self, answer: str, ufrag: str = "clnt") -> None:
        values = dict(line[2:].partition(":")[::2] for line in answer.splitlines() if line.startswith("a="))
        self._username = f"{values['ice-ufrag']}:{ufrag}"
        self._password = values["ice-pwd"]

    def move(self) -> None:
        del self.node.clients[self.address]
        self.address = ("192.0.2.9", next(_ports))
        self.node.clients[self.address] = self

    def check(self, *, use_candidate: bool = True, password: str | None = None) -> None:
        request = encode_request(
            bytes(12), self._username, self._password if password is None else password, use_candidate=use_candidate
        )
        self.node.receive(request, self.address)
        self.read()

    def shake_hands(self, rounds: int = 10) -> None:
        for _ in range(rounds):
            if self.srtp is not None:
                return
            self._handshake()
            self.flush()
            self.read()

    def connect(self) -> None:
        self.offer()
        self.check()
        self.shake_hands()
        assert self.srtp is not None

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return
        profile = PROFILES[self._tls.get_selected_srtp_profile().decode()]
        material = self._tls.export_keying_material(b"EXTRACTOR-dtls_srtp", profile.material)
        half, salts = profile.key, 2 * profile.key
        swapped = (
            material[half:salts]
            + material[:half]
            + material[salts + profile.salt :]
            + material[salts : salts + profile.salt]
        )
        self.srtp = srtp_of_server(profile, swapped)

    def again(self) -> None:
        """Waits, in real time, until OpenSSL's timer lets the last flight go out again."""
        timeout = self._tls.DTLSv1_get_timeout()
        if timeout is not None:
            time.sleep(min(timeout, 1.1))
            self._tls.DTLSv1_handle_timeout()
        self.flush()
        self.read()

    def key_frames_asked(self) -> int:
        return sum(isinstance(part, KeyFrameRequest) for part in self.feedback)

    def flush(self) -> None:
        try:
            while True:
                self.node.receive(self._tls.bio_read(1200), self.address)
        except SSL.WantReadError:
            return

    def read(self) -> None:
        """Takes in what came."""
        inbox, self.inbox = self.inbox, []
        for data in inbox:
            if data[0] < 4:
                self.answers += 1
            elif data[0] < 64:
                self._tls.bio_write(data)
                if self.srtp is None:
                    self._handshake()
                    self.flush()
                else:
                    self._read_tls()
            elif self.srtp is not None and not 192 <= data[1] <= 223:
                self.media.append(self.srtp.unprotect(data))
            elif self.srtp is not None:
                self.feedback += parse_rtcp(self.srtp.unprotect_rtcp(data))

    def _read_tls(self) -> None:
        try:
            self._tls.recv(2048)
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.WantReadError:
            return

    def send(self, header: bytes, payload: bytes, index: int) -> bytes:
        assert self.srtp is not None
        packet = self.srtp.protect(header, payload, int.from_bytes(header[8:12], "big"), index)
        self.node.receive(packet, self.address)
        return packet
