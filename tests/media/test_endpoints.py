"""Connections from the offer to the end: checks, handshakes, loss, changed addresses, replacement, bounds."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.control import FeedChanged, Levels
from media.endpoints import NoRoom
from media.rtp.header import encode_header
from media.sdp import BadSdp
from media.srtp import CM, GCM, SrtpError
from tests.support.media_client import OFFER, SLOTS, Client, FakeNode


def header(sequence: int, ssrc: int = 77) -> bytes:
    return encode_header(
        payload_type=111,
        marker=False,
        sequence=sequence,
        timestamp=960 * sequence,
        ssrc=ssrc,
        extensions={9: b"0", 14: b"\x20"},
    )


def connected(node: FakeNode, name: str) -> Client:
    client = Client(node, name)
    client.connect()
    return client


def test_a_connection_from_the_offer_to_the_goodbye() -> None:
    node = FakeNode()
    node.endpoints.set_stage("g", (), ("h1/microphone",), node.now)
    one, two = connected(node, "h1"), connected(node, "h2")
    assert node.states("h1") == ["connecting", "connected"]
    for sequence in range(5):
        one.send(header(sequence), b"voice", sequence)
    two.read()
    assert [packet[-5:] for packet in two.media] == [b"voice"] * 5
    assert one.media == []
    node.wait(0.3)
    assert FeedChanged(group="g", feed="h1/microphone", active=True) in node.events
    assert Levels(group="g", levels={"h1/microphone": -32}) in node.events
    assert node.endpoints.close_endpoint("g", "h1", node.now)
    one.read()
    assert one.closed
    assert node.states("h1")[-1] == "closed"
    assert not node.endpoints.close_endpoint("g", "h1", node.now)


@pytest.mark.parametrize("profile", [GCM, CM], ids=["gcm", "cm"])
def test_the_client_may_choose_its_profile_and_the_node_prefers_gcm(profile: object) -> None:
    node = FakeNode()
    client = Client(node, "h1", profile=CM if profile is CM else None)
    client.connect()
    [peer] = node.endpoints.stats(node.now)
    assert peer.srtp_profile == (CM.name if profile is CM else GCM.name)


def test_another_certificate_than_the_offered_is_closed() -> None:
    node = FakeNode()
    client = Client(node, "h1", fingerprint="AA:" * 31 + "AA")
    client.offer()
    client.check()
    client.shake_hands()
    assert node.states("h1") == ["connecting", "closed"]
    assert node.reasons() == ["wrong_fingerprint"]
    assert node.endpoints.stats(node.now) == ()


def test_nothing_is_taken_from_an_address_without_a_signed_check() -> None:
    node = FakeNode()
    client = Client(node, "h1")
    client.offer()
    client.check(password="x" * 36)
    assert client.answers == 0
    client.shake_hands()
    assert client.srtp is None
    assert node.endpoints.dropped > 1
    client.check()
    assert client.answers == 1


def test_a_handshake_that_never_completes_is_given_up() -> None:
    node = FakeNode()
    Client(node, "h1").offer()
    node.wait(19)
    assert node.states("h1") == ["connecting"]
    node.wait(2)
    assert node.states("h1") == ["connecting", "closed"]
    assert len(node.endpoints.port) == 0


def test_a_lost_flight_of_the_node_is_repeated_by_its_own_timer() -> None:
    """In real time: the timer is OpenSSL's."""
    node = FakeNode()
    client = Client(node, "h1")
    client.offer()
    client.check()
    node.loses = lambda data: data[0] == 22 and data[13] != 1  # all but ClientHello
    client.shake_hands(2)
    node.loses = lambda data: False
    assert client.srtp is None
    client.inbox.clear()
    node.tick()
    assert client.inbox == []
    time.sleep(1.05)
    node.tick()
    assert client.inbox != []
    client.read()
    client.shake_hands()
    assert client.srtp is not None


def test_a_lost_last_flight_of_the_client_is_repeated() -> None:
    node = FakeNode()
    client = Client(node, "h1")
    client.offer()
    client.check()
    seen: list[bytes] = []

    def loses_second_flight(data: bytes) -> bool:
        seen.append(data)
        return data[0] == 22 and data[13] == 11 and not any(each[13] == 20 for each in seen)

    node.loses = loses_second_flight
    client.shake_hands(2)
    node.loses = lambda data: False
    client.again()
    client.shake_hands()
    assert node.states("h1")[-1] == "connected"


def test_silence_is_told_and_then_ends_the_peer() -> None:
    node = FakeNode()
    client = connected(node, "h1")
    node.wait(6)
    assert node.states("h1")[-1] == "connected"
    node.wait(1)
    assert node.states("h1")[-1] == "disconnected"
    client.check()
    assert node.states("h1")[-1] == "connected"
    node.wait(31)
    assert node.states("h1")[-2:] == ["disconnected", "closed"]
    assert node.reasons() == ["lost"]


def test_a_changed_address_is_followed_once_it_is_signed_for() -> None:
    node = FakeNode()
    node.endpoints.set_stage("g", (), ("h1/microphone",), node.now)
    one, two = connected(node, "h1"), connected(node, "h2")
    two.move()
    one.send(header(1), b"voice", 1)
    two.read()
    assert two.media == []
    two.check(use_candidate=True)
    one.send(header(2), b"voice", 2)
    two.read()
    assert len(two.media) == 1


def test_a_second_path_waits_until_the_first_is_silent() -> None:
    """Without USE-CANDIDATE: the check of a path that is only tried must not take the media with it."""
    node = FakeNode()
    node.endpoints.set_stage("g", (), ("h1/microphone",), node.now)
    one, two = connected(node, "h1"), connected(node, "h2")
    two.check(use_candidate=False)
    home = two.address
    two.move()
    two.check(use_candidate=False)
    one.send(header(1), b"voice", 1)
    two.read()
    assert two.media == [] and home not in node.clients
    node.wait(4)
    one.check()
    two.check(use_candidate=False)
    one.send(header(2), b"voice", 2)
    two.read()
    assert len(two.media) == 1


def test_replayed_and_forged_packets_are_dropped() -> None:
    node = FakeNode()
    node.endpoints.set_stage("g", (), ("h1/microphone",), node.now)
    one, two = connected(node, "h1"), connected(node, "h2")
    packet = one.send(header(1), b"voice", 1)
    before = node.endpoints.dropped
    node.receive(packet, one.address)
    node.receive(packet[:-1] + b"?", one.address)
    node.receive(packet, two.address)
    assert node.endpoints.dropped == before + 3
    two.read()
    assert len(two.media) == 1
    assert two.srtp is not None
    with pytest.raises(SrtpError):
        two.srtp.unprotect(packet)


def test_the_new_connection_takes_over_when_it_is_up() -> None:
    node = FakeNode()
    node.endpoints.set_stage("g", (), ("h1/microphone",), node.now)
    old, listener = connected(node, "h1"), connected(node, "h2")
    new = Client(node, "h1")
    new.offer()
    old.send(header(1), b"voice", 1)
    listener.read()
    assert len(listener.media) == 1
    new.check()
    new.shake_hands()
    old.read()
    assert old.closed and not new.closed
    assert node.states("h1") == ["connecting", "connected", "connected"]
    new.send(header(9, ssrc=78), b"again", 9)
    listener.read()
    assert listener.media[-1][-5:] == b"again"
    assert len(node.endpoints.stats(node.now)) == 2


def test_attempts_that_go_nowhere_do_not_pile_up() -> None:
    node = FakeNode()
    old = connected(node, "h1")
    for _ in range(50):
        Client(node, "h1").offer()
    assert len(node.endpoints.port) == 2
    for _ in range(22):
        old.check()
        node.wait(1)
    assert len(node.endpoints.port) == 1
    assert node.states("h1") == ["connecting", "connected"]
    assert not old.closed


def test_peers_and_groups_are_bounded() -> None:
    node = FakeNode()
    sdp = OFFER.format(fingerprint="AA:BB").replace("\n", "\r\n")
    with pytest.raises(NoRoom):
        for number in range(2001):
            node.endpoints.offer("g", f"h{number}", sdp, SLOTS, node.now)
    other = FakeNode()
    with pytest.raises(NoRoom):
        for number in range(257):
            other.endpoints.set_stage(f"g{number}", ("h1/camera",), (), other.now)


def test_groups_that_nobody_uses_are_swept() -> None:
    node = FakeNode()
    client = connected(node, "h1")
    assert "group g" in node.endpoints.describe()
    node.endpoints.close_endpoint("g", "h1", node.now)
    client.read()
    node.wait(0.2)
    assert node.endpoints.describe() == ""


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=30))
def test_any_datagrams_from_a_known_address_are_survived(datagrams: list[bytes]) -> None:
    node = FakeNode()
    client = connected(node, "h1")
    for data in datagrams:
        if not 19 < (data[0] if data else 0) < 64:  # an alert may rightly end it
            node.receive(data, client.address)
    node.wait(0.1)
    assert node.states("h1")[-1] == "connected"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(20, 63), st.binary(max_size=200)), max_size=30))
def test_any_dtls_bytes_are_survived_by_the_node(datagrams: list[tuple[int, bytes]]) -> None:
    node = FakeNode()
    client = Client(node, "h1")
    client.offer()
    client.check()
    for first, rest in datagrams:
        node.receive(bytes((first,)) + rest, client.address)
    other = connected(node, "h2")
    assert other.srtp is not None


def encoder(node: FakeNode, name: str) -> Client:
    client = Client(node, name)
    client.publish_as = "h1"
    client.connect()
    return client


def feed_changes(node: FakeNode) -> list[bool]:
    return [each.active for each in node.events if isinstance(each, FeedChanged)]


def test_an_encoder_goes_before_the_page_and_the_newest_encoder_first() -> None:
    """Whatever the order they came in; when one ends, the feed that it stood before is back."""
    node = FakeNode()
    node.endpoints.set_stage("g", (), ("h1/microphone",), node.now)
    listener, first = connected(node, "h2"), encoder(node, "h1~1")
    page, second = connected(node, "h1"), encoder(node, "h1~2")
    sources = {"page": page, "first": first, "second": second}

    def heard(sequence: int) -> set[bytes]:
        listener.media.clear()
        for number, (name, client) in enumerate(sources.items()):
            client.send(header(sequence, ssrc=80 + number), name.encode(), sequence)
        listener.read()
        return {name.encode() for name in sources if any(packet.endswith(name.encode()) for packet in listener.media)}

    assert heard(1) == {b"second"}
    node.endpoints.close_endpoint("g", "h1~2", node.now)
    second.read()
    del sources["second"]
    assert heard(2) == {b"first"}
    node.endpoints.close_endpoint("g", "h1~1", node.now)
    first.read()
    del sources["first"]
    assert heard(3) == {b"page"}
    assert page.media == []  # nobody hears his own hall


def test_the_page_hears_neither_itself_nor_its_encoder() -> None:
    node = FakeNode()
    node.endpoints.set_stage("g", (), ("h1/microphone",), node.now)
    page, sender = connected(node, "h1"), encoder(node, "h1~1")
    sender.send(header(1), b"voice", 1)
    page.read()
    assert page.media == []


def test_a_feed_is_told_silent_until_its_encoder_sends_and_when_the_page_does_not_come_back() -> None:
    node = FakeNode()
    page = connected(node, "h1")
    page.send(header(1), b"page", 1)
    assert feed_changes(node) == [True]
    sender = encoder(node, "h1~1")
    assert feed_changes(node) == [True, False]
    sender.send(header(1), b"encoder", 1)
    assert feed_changes(node) == [True, False, True]
    for sequence in range(2, 200):  # the page ceases when it is not asked any more, and that is no news
        sender.send(header(sequence), b"encoder", sequence)
        if sequence < 110:
            page.send(header(sequence), b"page", sequence)
        page.check()
        node.wait(0.05)
    node.endpoints.close_endpoint("g", "h1~1", node.now)
    assert feed_changes(node) == [True, False, True]
    node.wait(4)  # asked again, it does not answer
    assert feed_changes(node) == [True, False, True, False]
    page.send(header(300), b"page", 300)
    assert feed_changes(node) == [True, False, True, False, True]


def test_ice_restarts_while_media_goes_on() -> None:
    """RFC 8445 §9: the earlier credentials hold until the first check under the new ones."""
    node = FakeNode()
    node.endpoints.set_stage("g", (), ("h1/microphone",), node.now)
    one, two = connected(node, "h1"), connected(node, "h2")
    before = two.answers
    stale = node.endpoints.restart("g", "h2", "a=ice-ufrag:early\r\na=ice-pwd:0123456789012345678901\r\n")
    two.check()
    assert two.answers == before + 1  # the old ones still answer
    two.restart("late")
    assert stale is not None
    one.send(header(1), b"voice", 1)
    two.read()
    assert len(two.media) == 1
    two.move()
    two.check()
    assert two.answers == before + 2
    one.send(header(2), b"voice", 2)
    two.read()
    assert len(two.media) == 2 and not two.closed
    assert node.states("h2") == ["connecting", "connected"]
    old = Client(node, "nobody")
    old._username, old._password = "x:clnt", "y"
    old.check()
    assert old.answers == 0
    assert len(node.endpoints.port) == 2


def test_after_a_restart_the_former_credentials_are_void() -> None:
    node = FakeNode()
    client = connected(node, "h1")
    former = client._username, client._password
    client.restart("news")
    client.check()
    answers = client.answers
    client._username, client._password = former
    client.check()
    assert client.answers == answers
    for _ in range(5):
        client.restart("again")
    client.check()
    assert client.answers == answers + 1
    assert node.endpoints.restart("g", "nobody", "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901") is None
    with pytest.raises(BadSdp):
        node.endpoints.restart("g", "h1", "a=candidate:1 1 udp 1 192.0.2.1 9 typ host")


def test_a_restart_before_the_handshake_is_met_as_well() -> None:
    node = FakeNode()
    client = Client(node, "h1")
    client.offer()
    client.restart("news")
    client.check()
    client.shake_hands()
    assert client.srtp is not None
