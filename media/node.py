"""The media node's process: `python -m media.node --control PATH --udp HOST:PORT [--candidate IP …] [--orphan-s 60]`.

It listens for its servers (media.control), as many as come, on a Unix socket and, with `--control-tcp HOST:PORT`, for
those of other machines (media.doors). It outlives them, and ends by itself when none was there for `--orphan-s`, on
`Shutdown`, and on SIGTERM or SIGINT. When it is ready it writes one JSON line to stdout: {"port": …, "epoch": …,
"pid": …}, with `--control-tcp` also "control_port". Its log on stderr has ids, never addresses.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Any

import ifaddr
import msgspec
import structlog
import uvloop

from media.cluster_tls import server_context
from media.control import (
    MAX_FIRST_FRAME,
    MAX_FRAME,
    Answer,
    AnyReply,
    AnyRequest,
    Attach,
    Attached,
    CloseEndpoint,
    CutTrunk,
    Done,
    DrainingChanged,
    Dump,
    Failed,
    GetStats,
    Import,
    Offer,
    Ping,
    Request,
    Restart,
    SetDraining,
    SetExports,
    SetStage,
    SetTiles,
    SetTrunk,
    Shutdown,
    Stats,
    Text,
    decode_request,
)
from media.controllers import Controller, Controllers
from media.doors import TcpDoor, remove_stale
from media.endpoints import Endpoints, NoRoom, Outlets, Site
from media.memory import keep_collections_short
from media.net import Ticking, UdpSocket, every_tick
from media.relay import BadRelay
from media.router import BadFeeds
from media.sdp import BadSdp, BadSlots, Unsupported
from media.trunk import BadTrunk

NICENESS = -10
"""Where it may not go before all others: packets are not to wait while thousands of phones vote on the same machine."""
SECRET_VARIABLE = "DIEMCAU_CLUSTER_SECRET"
_NTP_EPOCH = 2_208_988_800  # 1900 to 1970
_GOODBYE_S = 0.05
_STOP_S = 2.0


class Node:
    def __init__(self, socket_: UdpSocket, candidates: tuple[str, ...], orphan_s: float) -> None:
        self.epoch = secrets.token_hex(8)
        self.ended = asyncio.Event()
        self._controllers = Controllers()
        self._serving: set[asyncio.Task[None]] = set()
        self._socket = socket_
        self._orphan_s = orphan_s
        self._draining = False
        self._log = structlog.get_logger()
        site = Site(candidates, time.time() - time.monotonic() + _NTP_EPOCH, socket_.port)
        self._endpoints = Endpoints(site, Outlets(socket_, self._controllers.tell, self._log.info))

    def start(self) -> None:
        self._socket.start(self._endpoints.port.receive, self._endpoints.flush)

    @property
    def peers(self) -> int:
        return len(self._endpoints.port)

    def tick(self, now: float) -> Ticking:
        yield from self._endpoints.tick(now)
        self._controllers.cut_mute(now)
        if self._controllers.alone_s(now) > self._orphan_s:
            self._log.warning("orphaned")
            self.ended.set()

    async def stop(self) -> None:
        """Says goodbye to every peer, then to the servers."""
        self._endpoints.close_all(time.monotonic())
        await asyncio.sleep(_GOODBYE_S)
        self._socket.close()
        self._controllers.close_all()
        if self._serving:
            await asyncio.wait(self._serving, timeout=_STOP_S)

    # -- the control channel -------------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One server's connection, until it ends or breaks the framing. `stop` waits for it."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        controller = self._controllers.take(writer)
        self._log.info("server_connected")
        try:
            await self._read_frames(reader, controller)
        except (asyncio.IncompleteReadError, OSError):
            pass  # it ended between or within frames
        finally:
            if self._controllers.release(controller):
                self._endpoints.forget_orders()
            self._log.info("server_gone")
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._serving.discard(task)

    async def _read_frames(self, reader: asyncio.StreamReader, controller: Controller) -> None:
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big")
            if size > (MAX_FRAME if controller.attached else MAX_FIRST_FRAME):
                self._log.warning("frame_too_long", size=size)
                return
            if not self._handle_frame(await reader.readexactly(size), controller):
                return

    def _handle_frame(self, frame: bytes, controller: Controller) -> bool:
        """Whether the connection may go on: what is no request at all ends it."""
        try:
            request = decode_request(frame)
        except msgspec.DecodeError:
            seq = _seq_of(frame)
            if seq is None:
                self._log.warning("frame_unreadable")
                return False
            controller.reply(seq, Failed(code="bad_request", detail="no known request"))
            return True
        controller.reply(request.seq, self._answer(request, controller))
        return True

    def _answer(self, request: Request, controller: Controller) -> AnyReply:
        if not controller.attached and not isinstance(request.body, Attach):
            return Failed(code="bad_request", detail="attach first")
        try:
            return self._obey(request.body, controller, time.monotonic())
        except Unsupported as error:
            return Failed(code="unsupported", detail=str(error))
        except BadSdp as error:
            return Failed(code="bad_sdp", detail=str(error))
        except BadSlots as error:
            return Failed(code="bad_slots", detail=str(error))
        except (BadFeeds, BadRelay, BadTrunk, NoRoom) as error:
            return Failed(code="bad_request", detail=str(error))
        except Exception:  # a bug of ours must not end the meeting's pictures
            self._log.exception("request_failed", request=type(request.body).__name__)
            return Failed(code="internal")

    def _obey(self, body: AnyRequest, controller: Controller, now: float) -> AnyReply:
        match body:
            case Attach():
                self._controllers.attach(controller, listens=body.listens, charge=body.charge)
                return self._attached()
            case Shutdown():
                controller.leaves = True
                if body.if_last and self._controllers.others(controller):
                    return Failed(code="in_use")
                self.ended.set()
                return Done()
            case SetTrunk() | CutTrunk() | SetExports() | Import():
                if not self._controllers.may_arrange(controller):
                    return Failed(code="not_in_charge")
                self._arrange(body, now)
                return Done()
            case _:
                return self._perform(body, now)

    def _perform(
        self,
        body: Offer | Restart | SetStage | SetTiles | CloseEndpoint | SetDraining | Ping | GetStats | Dump,
        now: float,
    ) -> AnyReply:
        match body:
            case Offer():
                return Answer(sdp=self._offer(body, now))
            case Restart():
                return self._restart(body)
            case SetStage():
                self._endpoints.set_stage(body.group, body.video, body.audio, now, rev=body.rev)
            case SetTiles():
                self._endpoints.set_tiles(body.group, body.endpoint, body.feeds, now)
            case CloseEndpoint():
                known = self._endpoints.close_endpoint(body.group, body.endpoint, now)
                return Done() if known else Failed(code="unknown_endpoint")
            case SetDraining():
                self._drain(body.draining)
            case Ping():
                pass
            case GetStats():
                return self._stats(now)
            case Dump():
                return Text(text=self._endpoints.describe())
        return Done()

    def _drain(self, draining: bool) -> None:
        if draining != self._draining:
            self._draining = draining
            self._log.info("draining", draining=draining)
            self._controllers.tell(DrainingChanged(draining=draining))

    def _arrange(self, body: SetTrunk | CutTrunk | SetExports | Import, now: float) -> None:
        """What concerns other nodes."""
        relay = self._endpoints.relay
        match body:
            case SetTrunk():
                relay.set_trunk(body.node, body.trunk, (body.host, body.port), body.material, now, first=body.first)
            case CutTrunk():
                relay.cut(body.node, now)
            case SetExports():
                relay.set_exports(body.node, body.feeds, now)
            case Import():
                relay.import_feed(body.node, body.group, body.feed, body.description, now)

    def _offer(self, body: Offer, now: float) -> str:
        return self._endpoints.offer(
            body.group,
            body.endpoint,
            body.sdp,
            body.slots,
            now,
            places_by_kind=body.places,
            publish_as=body.publish_as,
        )

    def _restart(self, body: Restart) -> AnyReply:
        fragment = self._endpoints.restart(body.group, body.endpoint, body.fragment)
        return Failed(code="unknown_endpoint") if fragment is None else Answer(sdp=fragment)

    def _attached(self) -> Attached:
        return Attached(
            epoch=self.epoch,
            port=self._socket.port,
            pid=os.getpid(),
            endpoints=self._endpoints.states(),
            trunks=self._endpoints.relay.trunks(),
            feeds=self._endpoints.feeds(),
            wished=self._endpoints.wished(),
            asked=self._endpoints.relay.asked(),
            draining=self._draining,
        )

    def _stats(self, now: float) -> Stats:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Stats(
            cpu_s=usage.ru_utime + usage.ru_stime,
            rss_bytes=_resident_bytes(),
            dropped=self._endpoints.dropped + self._socket.unsent,
            peers=self._endpoints.stats(now),
        )


def _seq_of(frame: bytes) -> int | None:
    """The `seq` of a frame whose body is no request that we know."""
    try:
        message = msgspec.json.decode(frame, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    seq = message.get("seq")
    return seq if isinstance(seq, int) and not isinstance(seq, bool) else None


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


def local_addresses() -> tuple[str, ...]:
    """The IPv4 addresses of this machine, the loopback last."""
    found = {address.ip for adapter in ifaddr.get_adapters() for address in adapter.ips if isinstance(address.ip, str)}
    return tuple(sorted(found, key=lambda ip: (ip.startswith("127."), ip)))


async def run(options: argparse.Namespace) -> None:
    host, port = _host_and_port(options.udp)
    udp = UdpSocket(host, port)
    node = Node(udp, tuple(options.candidate or local_addresses()), options.orphan_s)
    path = Path(options.control)
    remove_stale(path)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.ended.set)
    server = await asyncio.start_unix_server(node.serve, path=str(path), limit=MAX_FRAME)
    os.chmod(path, 0o600)
    ready = {"port": udp.port, "epoch": node.epoch, "pid": os.getpid()}
    working: list[asyncio.Task[object]] = [
        asyncio.create_task(every_tick(node.tick)),
        asyncio.create_task(node.ended.wait()),
        asyncio.create_task(keep_collections_short(lambda: node.peers)),
    ]
    door = None
    if options.control_tcp is not None:
        context = server_context(os.environ.pop(SECRET_VARIABLE, ""))
        door = TcpDoor(*_host_and_port(options.control_tcp), context, node.serve)
        working.append(asyncio.create_task(door.run()))
        ready["control_port"] = door.port
    node.start()
    print(msgspec.json.encode(ready).decode(), flush=True)
    try:
        done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in working:
            task.cancel()
        server.close()
        if door is not None:
            door.close()
        await node.stop()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _configure_log() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def go_before() -> None:
    """Before all other processes (SCHED_RR), or with a greater share of the processor, as far as the system permits it:
    root or CAP_SYS_NICE. Others keep what the system reserves for them, a twentieth on Linux as it comes."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m media.node", description="A media node.")
    parser.add_argument("--control", required=True, metavar="PATH", help="the Unix socket to listen on")
    parser.add_argument(
        "--control-tcp",
        metavar="HOST:PORT",
        help=f"listen for servers of other machines too; the cluster's secret is in {SECRET_VARIABLE}",
    )
    parser.add_argument("--udp", required=True, metavar="HOST:PORT", help="where media comes in; port 0: any free one")
    parser.add_argument("--candidate", action="append", metavar="IP", help="an address that peers reach the port by")
    parser.add_argument("--orphan-s", type=float, default=60.0, metavar="S", help="end when no server came for so long")
    options = parser.parse_args()
    _configure_log()
    go_before()
    uvloop.run(run(options))


if __name__ == "__main__":
    main()
