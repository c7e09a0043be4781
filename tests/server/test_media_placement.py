"""Which endpoint goes to which media node."""

from dataclasses import dataclass

import pytest

from media.control import EndpointState, PeerChanged, PeerState
from server.media_placement import Placement


@dataclass(eq=False)
class Node:
    name: str
    district: str = ""
    load: float = 0.0
    draining: bool = False
    up: bool = True


WHERE = {"h1": "Huyện Mường Tè / Điểm cầu số 1", "h2": "UBND huyện mường tè / H", "h3": "Huyện Mường Tèo / Khác"}


@pytest.fixture
def placement() -> Placement[Node]:
    return Placement(lambda group, hall: WHERE.get(hall, ""))


def tell(placement: Placement[Node], node: Node, endpoint: str, state: PeerState) -> bool:
    return placement.heard(node, PeerChanged(group="g", endpoint=endpoint, state=state))


def test_halls_go_where_the_fewest_are_and_stay_there(placement: Placement[Node]) -> None:
    nodes = [Node("a"), Node("b"), Node("c")]
    placed = [placement.place("g", f"x{number}", nodes) for number in range(9)]
    assert [placed.count(node) for node in nodes] == [3, 3, 3]
    assert [placement.place("g", f"x{number}", nodes) for number in range(9)] == placed
    assert placement.place("g", "x4~in~3f", nodes) is placed[4], "an encoder goes where its hall is"
    assert placement.place("g", "y", []) is None


def test_a_district_serves_its_own_halls_and_no_others(placement: Placement[Node]) -> None:
    centre, district = Node("centre"), Node("district", "Huyện Mường Tè")
    nodes = [centre, district]
    assert [placement.place("g", hall, nodes) for hall in ("h1", "h2", "h3", "x", "x2", "x3")] == [
        district,
        district,
        centre,  # another name that begins the same
        centre,
        centre,
        centre,
    ]
    district.draining = True
    assert placement.best("g", "h1", nodes) is centre
    district.draining, district.up = False, False
    assert placement.place("g", "h1", nodes) is centre
    district.up = True
    assert placement.place("g", "h1", nodes) is centre, "it stays where it is"
    assert placement.best("g", "x", [district]) is district, "rather that one than none"


def test_busy_nodes_and_those_to_be_left_are_spared(placement: Placement[Node]) -> None:
    busy, calm, left = Node("busy", load=0.9), Node("calm"), Node("left", draining=True)
    nodes = [busy, calm, left]
    assert {placement.place("g", f"x{number}", nodes) for number in range(5)} == {calm}
    calm.up = False
    assert placement.best("g", "y", nodes) is busy
    busy.up = False
    assert placement.best("g", "y", nodes) is left


def test_another_server_s_halls_are_counted_and_found(placement: Placement[Node]) -> None:
    nodes = a, b = [Node("a"), Node("b")]
    for number in range(3):
        assert tell(placement, a, f"x{number}", "connected")
    assert placement.place("g", "y", nodes) is b
    assert placement.place("g", "x1", nodes) is a, "it came to this server, and is where it was"
    tell(placement, a, "x0", "closed")
    tell(placement, a, "x2", "closed")
    assert placement.on(a) == (("g", "x1"),), "nothing is kept of who has gone"


def test_while_it_moves_the_old_connection_counts_until_the_new_one_is_there(placement: Placement[Node]) -> None:
    nodes = a, b = [Node("a"), Node("b")]
    key = "g", "x"
    assert placement.place(*key, nodes) is a
    tell(placement, a, "x", "connected")
    placement.move(key, b)
    assert placement.place(*key, nodes) is b, "offers go there"
    assert not tell(placement, b, "x", "connecting")
    assert placement.is_at(a, *key) and not placement.is_at(b, *key)
    assert placement.feed_is_at(a, "g", "x/camera") and not placement.feed_is_at(b, "g", "x/camera")
    assert tell(placement, b, "x", "connected")
    placement.moved(key)
    assert not placement.is_at(a, *key)
    assert not tell(placement, a, "x", "closed"), "that is no news of the hall"
    assert placement.place(*key, nodes) is b
    assert tell(placement, b, "x", "closed")


def test_a_node_that_is_gone_names_who_lost_it(placement: Placement[Node]) -> None:
    nodes = a, b = [Node("a"), Node("b")]
    for hall in ("x1", "x2", "x3"):
        placement.place("g", hall, nodes)
    tell(placement, a, "x1", "connected")
    a.up = False
    assert set(placement.gone(a)) == {("g", "x1"), ("g", "x3")}
    assert placement.place("g", "x1", nodes) is b
    tell(placement, b, "x1", "connected")
    a.up = True
    placement.attached(a, (EndpointState(group="g", endpoint="x1", state="disconnected"),))
    assert placement.is_at(b, "g", "x1") and not placement.is_at(a, "g", "x1"), "left behind there"
