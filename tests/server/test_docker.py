"""What can be known of docker/ without an engine: the files fit the program, each other, and the operating guide."""

import fnmatch
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from server.cli import cli
from server.settings import Settings
from tests.support.compose import (
    DOCKER,
    MissingVariable,
    fill_in,
    read_environment,
    read_yaml,
    variables,
)

ROOT = DOCKER.parent
COMPOSE = ("compose.yml", "compose.media.yml", "compose.dev.yml")
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+[\w.-]*")
FILLED = {
    "POSTGRES_PASSWORD": "p" * 32,
    "REDIS_PASSWORD": "r" * 32,
    "DIEMCAU_CLUSTER_SECRET": "c" * 64,
    "DIEMCAU_METRICS_TOKEN": "m" * 32,
    "DIEMCAU_TURN_SECRET": "t" * 32,
    "GRAFANA_PASSWORD": "g" * 32,
    "REDIS_URL": "redis://:secret@10.0.0.1:6379/0",
}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what they say, lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (DOCKER / "Dockerfile").read_text())
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def project() -> dict[str, Any]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(found, dict)
    return found


def compose(name: str) -> dict[str, Any]:
    """Filled in with the example's values and made-up secrets."""
    found = fill_in(read_yaml(DOCKER / name), {**read_environment(DOCKER / "diemcau.env.example"), **FILLED})
    assert isinstance(found, dict)
    return found


def ours(service: dict[str, Any]) -> bool:
    return str(service["image"]).startswith("diemcau:")


# -- the image ---------------------------------------------------------------------------------------------------------


def test_the_image_is_pinned_small_and_runs_as_nobody_in_particular() -> None:
    said = instructions()
    for word, rest in said:
        assert word in {"FROM", "ENV", "RUN", "WORKDIR", "COPY", "LABEL", "VOLUME", "USER", "EXPOSE", "STOPSIGNAL"} | {
            "HEALTHCHECK",
            "ENTRYPOINT",
            "CMD",
        }, f"{word}: no ADD, no ARG with secrets, no SHELL"
        if word == "FROM":
            assert PINNED.fullmatch(rest.split()[0]), rest
        if word == "WORKDIR":
            assert rest.startswith("/")
        if word == "RUN":
            assert "sudo" not in rest and "curl" not in rest and "|" not in rest
            added = re.findall(r"apt-get install ([^&]*)", rest)
            assert set(" ".join(added).split()) <= {"-y", "-qq", "--no-install-recommends", "gcc", "libc6-dev"}
    last = max(place for place, (word, _) in enumerate(said) if word == "FROM")
    final = said[last:]
    users = [rest for word, rest in final if word == "USER"]
    assert users and re.fullmatch(r"[1-9]\d+:[1-9]\d+", users[-1]), "a number, so that Kubernetes believes it too"
    assert not [rest for word, rest in final if word == "RUN" and ("pip" in rest or "apt-get" in rest)], (
        "nothing is installed in the last stage"
    )
    assert [rest for word, rest in said if word == "RUN" and "-m media.compile" in rest]
    installs = [part for word, rest in said if word == "RUN" for part in rest.split("&&") if "pip install" in part]
    assert len(installs) == 2
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--no-deps" in installs[1] and "--no-build-isolation" in installs[1], "nothing that is not locked"


def test_what_the_image_copies_is_there_and_let_through() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]

    def let_through(path: str) -> bool:
        kept = True
        for rule in rules:
            pattern = rule.removeprefix("!").removesuffix("/")
            anywhere = pattern.startswith("**/") and pattern[3:] in path.split("/")
            if anywhere or fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/"):
                kept = rule.startswith("!")
        return kept

    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from=" not in rest]
    sources = [source for group in copied for source in group]
    assert {"requirements.lock", "server/", "media/", "rooms/", "clients/"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert let_through(source.removesuffix("/")), source
    for secret in (".git/config", "data/secret", "docker/.env", "clients/web/node_modules/x", ".venv/bin/python"):
        assert not let_through(secret), secret
    assert let_through(project()["readme"]), "the package is described by it"


def test_the_image_starts_programs_that_the_package_has() -> None:
    said, scripts = dict(instructions()), project()["scripts"]
    assert said["ENTRYPOINT"] == '["diemcau"]' and "diemcau" in scripts
    assert said["CMD"] == '["run"]' and "run" in commands()
    assert said["HEALTHCHECK"].endswith('CMD ["diemcau-health"]') and "diemcau-health" in scripts
    assert f'version="{project()["version"]}"' in said["LABEL"]
    settings = Settings(data_dir=Path("/data"))
    assert said["EXPOSE"].split()[:2] == [f"{settings.port}/tcp", f"{settings.media_port}/udp"]


# -- compose files -----------------------------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    return typer.main.get_command(cli).commands  # type: ignore[attr-defined, no-any-return]


COMMANDS = [
    (name, service) for name in COMPOSE for service, said in read_yaml(DOCKER / name)["services"].items() if ours(said)
]


@pytest.mark.parametrize(("file", "name"), COMMANDS)
def test_services_start_with_options_that_exist(file: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = compose(file)["services"][name]
    words = service["command"]
    if "entrypoint" in service:
        script = DOCKER / service["entrypoint"][0]
        assert os.access(script, os.X_OK)
        found = re.findall(r"^\s*(?:exec )?diemcau (\w+)", script.read_text(), re.M)
        assert found and set(found) <= set(commands())
        return
    for variable, value in service.get("environment", {}).items():
        monkeypatch.setenv(variable, value)
    commands()[words[0]].make_context(words[0], list(words[1:]))  # raises for a wrong option or value


@pytest.mark.parametrize("file", COMPOSE)
def test_services_are_pinned_watched_limited_and_fit_together(file: str) -> None:
    whole = compose(file)
    services: dict[str, Any] = whole["services"]
    for name, service in services.items():
        image = str(service["image"])
        assert PINNED.fullmatch(image) or image == "diemcau:dev", f"{name}: {image}"
        assert "healthcheck" in service or ours(service), f"{name} is not watched"
        assert not service.get("privileged")
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy" and needed in services
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0] if ":" in volume else ""
            if source.startswith("./") and not source.startswith("./backups"):
                assert (DOCKER / source).is_file(), f"{name}: {source}"
            elif source and source[0] not in "./":
                assert source in whole["volumes"], f"{name}: {source}"
        assert set(service.get("networks", ())) <= set(whole.get("networks", ()))
        assert set(service.get("secrets", ())) <= set(whole.get("secrets", ()))
        assert not (service.get("network_mode") == "host" and service.get("ports")), "the host's network has all ports"
        if file != "compose.dev.yml":
            limits = service["deploy"]["resources"]["limits"] if name != "backup" else {"memory": 1}
            assert limits["memory"] and service["restart"] in ("unless-stopped", "no")
            assert service["logging"]["options"]["max-size"], "logs do not fill the disk"
    unused = set(whole.get("volumes", ())) - {
        volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())
    }
    assert not unused


def test_only_what_the_firewall_table_names_is_open_to_others() -> None:
    opened = {
        (port.rsplit(":", 1)[1].split("/")[0], port.split("/")[1])
        for service in compose("compose.yml")["services"].values()
        for port in service.get("ports", ())
        if not port.startswith("127.0.0.1:")
    }
    assert opened == {("80", "tcp"), ("443", "tcp"), ("443", "udp")}
    media = compose("compose.yml")["services"]["media"]["command"]
    opened |= {(media_port(media, "--media-port"), "udp"), (media_port(media, "--control-port"), "tcp")}
    turn = compose("compose.yml")["services"]["coturn"]["command"]
    opened |= {(media_port(turn, "--listening-port"), "udp"), (media_port(turn, "--tls-listening-port"), "tcp")}
    opened |= {(f"{media_port(turn, '--min-port')}-{media_port(turn, '--max-port')}", "udp")}
    rows = re.findall(r"^\|\s*(TCP|UDP)\s+([\d, –-]+?)\s*\|", (ROOT / "OPERATING.md").read_text(), re.M)
    table = {(port.strip().replace("–", "-"), kind.lower()) for kind, ports in rows for port in ports.split(",")}
    assert opened <= table, f"not in OPERATING.md: {sorted(opened - table)}"


def media_port(words: list[str], option: str) -> str:
    return next(word.split("=")[1] for word in words if word.startswith(f"{option}="))


def test_coturn_is_as_strict_in_its_container_as_in_turnserver_conf() -> None:
    """The values of the example file are the operator's; everything else is the same."""
    theirs = {"realm", "static-auth-secret", "listening-ip", "relay-ip", "cert", "pkey", "allowed-peer-ip", "log-file"}
    words = compose("compose.yml")["services"]["coturn"]["command"]
    here = {word.removeprefix("--") for word in words if word.startswith("--") and word[2:].split("=")[0] not in theirs}
    lines = (line.strip() for line in (DOCKER / "turnserver.conf").read_text().splitlines())
    there = {line for line in lines if line and line[0] != "#" and line.split("=")[0] not in theirs}
    assert here == there
    assert not [word for word in words if "CHANGE" in word]


def test_every_variable_is_explained_and_secrets_have_no_defaults() -> None:
    example = (DOCKER / "diemcau.env.example").read_text()
    explained = set(read_environment(DOCKER / "diemcau.env.example")) | set(re.findall(r"^#(\w+)=", example, re.M))
    used = variables("".join((DOCKER / name).read_text() for name in COMPOSE))
    assert used <= explained, f"not in diemcau.env.example: {sorted(used - explained)}"
    assert explained <= used, f"nobody reads {sorted(explained - used)}"
    given = read_environment(DOCKER / "diemcau.env.example")
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "DIEMCAU_CLUSTER_SECRET", "DIEMCAU_METRICS_TOKEN"):
        assert given[name] == ""
        with pytest.raises(MissingVariable, match=re.escape("docker/.env")):
            fill_in(read_yaml(DOCKER / "compose.yml"), {**given, **FILLED, name: ""})


# -- the proxy, the scripts, the rules ---------------------------------------------------------------------------------


def test_scripts_are_sound() -> None:
    for script in DOCKER.glob("*.sh"):
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0, script
        assert os.access(script, os.X_OK)
        assert "set -eu" in script.read_text()


def test_caddy_takes_the_caddyfile() -> None:
    assert shutil.which("caddy"), "docker/debian-packages.sh test"
    words = ("caddy", "validate", "--adapter", "caddyfile", "--config", str(DOCKER / "Caddyfile"))
    environment = {**os.environ, "DIEMCAU_HOST": "http://hop.example.vn"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Valid configuration" in done.stdout, done.stderr


def test_prometheus_takes_its_rules() -> None:
    assert shutil.which("promtool"), "docker/debian-packages.sh test"
    words = ("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(DOCKER / "monitoring" / "rules.yml"))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
