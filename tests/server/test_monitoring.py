"""The rules and the dashboard in docker/monitoring ask for what a running server really tells."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from clients.rehearsal.product import nodes_of
from server.health import check
from tests.support.compose import DOCKER, read_yaml
from tests.support.live import client, live
from tests.support.processes import free_port

pytestmark = pytest.mark.slow

MONITORING = DOCKER / "monitoring"
_METRIC = re.compile(r"\b(diemcau_\w+)(\{[^}]*\})?")
_LABELS = re.compile(r"\b(?:by|without) \(([^)]*)\)")
_OUTSIDE = {"instance", "job", "le"}
"""Labels that Prometheus adds, and a histogram's own."""


def expressions() -> list[str]:
    dashboard = msgspec.json.decode((MONITORING / "diemcau.json").read_bytes())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules: Any = read_yaml(MONITORING / "rules.yml")
    return [*shown, *(rule["expr"] for group in rules["groups"] for rule in group["rules"])]


async def test_every_metric_and_label_asked_for_is_told(tmp_path: Path) -> None:
    async with live(tmp_path) as server, client(server, server.delegate_token()) as phone:
        await phone.give("attendance.check_in", mode="in_hall")
        while not nodes_of(tmp_path):
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.5)
        _, text = await server.get("/metrics")
    told: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for name in (family.name, f"{family.name}_total", f"{family.name}_bucket"):
            told.setdefault(name, set())
        for sample in family.samples:
            told.setdefault(sample.name, set()).update(sample.labels)
    asked = 0
    for expression in expressions():
        names = _METRIC.findall(expression)
        assert names or "up{" in expression, expression
        labels = {label.strip() for group in _LABELS.findall(expression) for label in group.split(",")}
        for name, selector in names:
            asked += 1
            assert name in told, f"{name} is not told: {expression}"
            wanted = (labels | set(re.findall(r"(\w+)=", selector))) - _OUTSIDE
            known = told[name]
            assert not known or wanted <= known | _elsewhere(names, told), f"{expression}: {wanted - known}"
    assert asked > 30
    shown = {panel["title"] for panel in msgspec.json.decode((MONITORING / "diemcau.json").read_bytes())["panels"]}
    assert len(shown) > 15


def _elsewhere(names: list[tuple[str, str]], told: dict[str, set[str]]) -> set[str]:
    """Labels of the expression's other metrics."""
    return set().union(*(told[name] for name, _ in names))


async def test_the_health_command_tells_a_server_that_works_from_one_that_does_not(tmp_path: Path) -> None:
    async def healthy(target: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.health"),
            env={**os.environ, "DIEMCAU_HEALTH": target},
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        assert process.returncode is not None and b"Traceback" not in said
        return process.returncode

    async with live(tmp_path) as server:
        assert await healthy(f"{server.url}/healthz") == 0
        assert await healthy(f"tls://127.0.0.1:{server.running.port}") == 1, "that is no control port"
    assert await healthy(f"{server.url}/healthz") == 1
    assert await healthy(f"tls://127.0.0.1:{free_port()}") == 1
    with pytest.raises(ValueError, match="DIEMCAU_HEALTH"):
        check("ftp://x")
