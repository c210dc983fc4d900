"""docker-compose.yaml as Docker Compose reads it: settings filled in, anchors merged, one typed service each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
Restart = Literal["no", "unless-stopped"]

_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<rule>:?[-?])(?P<word>[^{}$]*))?\}|(?P<bad>))"
)
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class ComposeError(ValueError):
    """The compose file or the settings cannot be used; the message says where."""


@dataclass(frozen=True)
class Volume:
    """A folder of the machine, or a named volume, at ``target`` in the container."""

    source: str
    target: str
    read_only: bool

    @property
    def is_named(self) -> bool:
        return not self.source.startswith((".", "/", "~"))


@dataclass(frozen=True)
class Service:
    """What a container of the service is started with. ``entrypoint`` and ``command``: None is the image's own."""

    name: str
    image: str
    user: str | None
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    environment: Mapping[str, str]
    volumes: tuple[Volume, ...]
    health: tuple[str, ...] | None
    depends_on: Mapping[str, Condition]
    restart: Restart
    stop_grace_s: float


def load(file: Path, settings: Mapping[str, str]) -> dict[str, Service]:
    """All services, in the file's order. Raises ComposeError for a setting that is demanded and missing."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    named = set(document.get("volumes") or {})
    services = {
        name: _service(name, _filled(given, settings, f"services.{name}"))
        for name, given in document["services"].items()
    }
    for service in services.values():
        for volume in service.volumes:
            if volume.is_named and volume.source not in named:
                raise ComposeError(f"{service.name}: the volume {volume.source!r} is not declared")
        if unknown := set(service.depends_on) - set(services):
            raise ComposeError(f"{service.name}: depends on {sorted(unknown)}, which are no services")
    return services


def read_settings(text: str) -> dict[str, str]:
    """A .env file: ``NAME=value`` lines, taken as they are."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return {name: value.strip() for name, _, value in (line.partition("=") for line in lines)}


def fill(text: str, settings: Mapping[str, str], where: str) -> str:
    """Settings in place of ``$NAME``, ``${NAME}``, ``${NAME:-default}``, ``${NAME:?why}``; ``$$`` is a dollar."""

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["bad"] is not None:
            raise ComposeError(f"{where}: {text!r} has a $ that Compose refuses, or that this reader does not know")
        found, rule = settings.get(match["plain"] or match["name"]), match["rule"] or ""
        if found is None or (rule.startswith(":") and not found):
            if rule.endswith("?"):
                raise ComposeError(f"{where}: {match['name']}: {match['word']}")
            return match["word"] or ""
        return found

    return _VARIABLE.sub(value, text)


def _filled(node: Any, settings: Mapping[str, str], where: str) -> Any:
    match node:
        case str():
            return fill(node, settings, where)
        case dict():
            return {key: _filled(value, settings, f"{where}.{key}") for key, value in node.items()}
        case list():
            return [_filled(value, settings, where) for value in node]
        case _:
            return node


_KNOWN = {
    "image",
    "build",
    "user",
    "entrypoint",
    "command",
    "environment",
    "volumes",
    "healthcheck",
    "depends_on",
    "restart",
    "stop_grace_period",
    "ports",
}


def _service(name: str, given: Mapping[str, Any]) -> Service:
    if unknown := set(given) - _KNOWN:
        raise ComposeError(f"{name}: {sorted(unknown)} would be left out by the cluster test; teach it first")
    environment = given.get("environment", {})
    for key, value in environment.items():
        if not isinstance(value, str):
            raise ComposeError(f"{name}: {key} is {value!r}: quote it")
    return Service(
        name=name,
        image=given["image"],
        user=given.get("user"),
        entrypoint=_words(given.get("entrypoint")),
        command=_words(given.get("command")),
        environment=environment,
        volumes=tuple(_volume(text) for text in given.get("volumes", [])),
        health=_health(name, given.get("healthcheck")),
        depends_on={other: how["condition"] for other, how in given.get("depends_on", {}).items()},
        restart=given.get("restart", "no"),
        stop_grace_s=_seconds(given.get("stop_grace_period", "10s")),
    )


def _words(given: str | list[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return tuple(shlex.split(given)) if isinstance(given, str) else tuple(given)


def _volume(text: str) -> Volume:
    source, target, *mode = text.split(":")
    return Volume(source, target, "ro" in mode)


def _health(name: str, given: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    match None if given is None else given["test"]:
        case None:
            return None
        case ["CMD", *words]:
            return tuple(words)
        case ["CMD-SHELL", script]:
            return ("/bin/sh", "-c", script)
        case other:
            raise ComposeError(f"{name}: a health check {other!r} is not known")


def _seconds(text: str) -> float:
    return float(text[:-1]) * _SECONDS[text[-1]]
