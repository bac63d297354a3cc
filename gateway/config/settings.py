"""Settings: the environment, read once. Everything about routes is in routes.yaml instead."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.config.findings import nearest
from gateway.errors import ConfigError

PREFIX = "GATEWAY_"
LINGER_S = 5.0
_SECRETS = ("key", "admin_key", "key_pepper")
LEAST_PEPPER = 32
# As SQLAlchemy reads a URL's beginning, a driver's name included.
_ADDRESS = re.compile(r"[\w+]+://")
_SUFFIXES = (".db", ".sqlite", ".sqlite3")
_BOOLEAN = ("bool_parsing", "bool_type")
_INTEGER = ("int_parsing", "int_type", "int_from_float")


class Settings(BaseSettings):
    """What a process is told by variables with the prefix ``GATEWAY_``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    routes_file: Path = Path("routes.yaml")
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65_535)
    """0: a free one, chosen by the system."""
    metrics_port: int | None = Field(None, ge=0, le=65_535)
    """Where /metrics, /healthz and /readyz are served without a key; None: only beside everything else."""
    metrics_host: str = "127.0.0.1"
    database_url: str = Field("sqlite+aiosqlite:///state/gateway.db", repr=False)
    """It may hold a password, so it is not shown either."""
    journal_dir: Path | None = None
    """Where rows are kept until the database has them; None: beside SQLite's file, or under state/."""
    key: SecretStr | None = None
    """What callers send as their API key; None: anybody on this machine may call."""
    key_file: Path | None = None
    key_residency: str | None = None
    """Where whoever sends that key wants data kept; only targets there may answer."""
    key_pins: bool = False
    """Whether whoever sends that key may choose the target (``ROUTE@primary``)."""
    key_pepper: SecretStr | None = None
    """What keys are digested with before they are compared; with it, keys of the database and of routes.yaml count."""
    key_pepper_file: Path | None = None
    open: bool = False
    """Whether anybody who can reach an address that is not loopback may call, although there are no keys."""
    limits_url: SecretStr | None = None
    """A Redis server (redis://…) where replicas share what keys have left of their rate limits; None: each counts."""
    admin_key: SecretStr | None = None
    admin_key_file: Path | None = None
    ui_actions: bool = False
    """Whether the pages at /ui may move routes and have models verified; only where there is an admin's key."""
    max_body_bytes: int = Field(20 * 1024 * 1024, ge=1)
    header_s: float = Field(10.0, gt=0, le=600)
    """How long a request's head may take to arrive."""
    body_s: float = Field(30.0, gt=0, le=3600)
    """How long a request's body may take to arrive."""
    max_connections: int = Field(10_000, ge=1)
    """How many callers may be connected at once; more are turned away with a 503."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lambda value: _lower(value)),
    ] = "info"
    log_requests: Annotated[Literal["all", "errors", "off"] | None, BeforeValidator(lambda v: _lower(v))] = None
    """Which requests are logged, a line each on stdout; None: all, and on a terminal those that went wrong."""
    drain_s: float = Field(25.0, ge=0, le=3600)
    """How long running answers may go on after a stop was asked for."""
    linger_s: float | None = Field(None, ge=0, le=600)
    """How long new connections are still taken after SIGTERM, within ``drain_s``: load balancers learn of a stop late.
    None: 5 s, and on a loopback address, where there is no load balancer, not at all."""

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        read = dict(values)
        for name in _SECRETS:
            file = read.get(f"{name}_file")
            if file is None:
                continue
            if read.get(name) is not None:
                raise ConfigError(f"{_variable(name)} and {_variable(name)}_FILE are both set; keep one.")
            read[name] = _secret_from(Path(file), name)
        return read

    @model_validator(mode="after")
    def _refuse_open_doors(self) -> "Settings":
        lacking = [] if self.admin_key is not None else [_variable("admin_key")]
        if self.key is None and self.key_pepper is None:
            lacking.insert(0, f"{_variable('key')} or {_variable('key_pepper')}")
        if lacking and not self.is_loopback and not self.open:
            raise ConfigError(
                f"{_variable('host')}={self.host} can be reached from other machines: set {', and '.join(lacking)} "
                f"(or …_FILE), or bind to 127.0.0.1. {_variable('open')}=true lets anybody in who can reach it."
            )
        return self

    @model_validator(mode="after")
    def _refuse_weak_pepper(self) -> "Settings":
        pepper = self.key_pepper.get_secret_value() if self.key_pepper is not None else None
        if pepper is not None and len(pepper) < LEAST_PEPPER:
            raise ConfigError(
                f"{_variable('key_pepper')} is shorter than {LEAST_PEPPER} characters; "
                "`openssl rand -hex 32` makes one."
            )
        return self

    @model_validator(mode="after")
    def _refuse_residency_without_key(self) -> "Settings":
        if self.key_residency is not None and self.key is None:
            raise ConfigError(f"{_variable('key_residency')} is a property of {_variable('key')}, which is not set.")
        if self.key_pins and self.key is None:
            raise ConfigError(f"{_variable('key_pins')} is a property of {_variable('key')}, which is not set.")
        return self

    @property
    def lingers_s(self) -> float:
        """Seconds, also where nobody set them."""
        if self.linger_s is not None:
            return self.linger_s
        return 0.0 if self.is_loopback else LINGER_S

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect. A name other than localhost could be anything: it counts as not."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_settings(**overrides: Any) -> Settings:
    """Return the settings of this process's environment, with the command line's laid over them.

    ``database_url`` among these may also be the path of a SQLite file that is there.

    Raises:
        ConfigError: There is no such file; or each wrong variable by its name, one a line; values are never repeated.
    """
    place = overrides.get("database_url")
    if place is not None and not _ADDRESS.match(place):
        overrides["database_url"] = _url_of(place)
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise ConfigError("\n".join(map(_sentence, error.errors(include_url=False, include_input=False)))) from None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each ``GATEWAY_`` variable that means nothing here."""
    known = {name.upper() for name in Settings.model_fields}
    unknown = [name for name in sorted(environ) if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known]
    warnings = []
    for name in unknown:
        # Compared without the prefix: with it, every name would be near.
        near = nearest(name.removeprefix(PREFIX), known)
        warnings.append(f"{name} is not a setting" + (f"; did you mean '{PREFIX}{near}'?" if near else ""))
    return warnings


def _url_of(place: str) -> str:
    """Return the URL of a SQLite file: a path may hold what a URL cannot."""
    if Path(place).is_file():
        return f"sqlite:///{quote(place)}"
    # What is no path may be a URL gone wrong, or a password: it is not repeated.
    is_path = place.endswith(_SUFFIXES) and not set(place) & set(":@\0")
    what = f"there is no file {place}" if is_path else "that is no database URL, and no file that is there"
    raise ConfigError(f"--database: {what}; a new SQLite file is named by a URL, such as sqlite:///state/gateway.db")


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _secret_from(file: Path, name: str) -> str:
    try:
        secret = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError):
        raise ConfigError(f"{_variable(name)}_FILE names a file that cannot be read.") from None
    if not secret.strip():
        raise ConfigError(f"{_variable(name)}_FILE names an empty file.")
    return secret


def _sentence(problem: Any) -> str:
    name = _variable(str(problem["loc"][0])) if problem["loc"] else "The settings"
    if problem["type"] in _BOOLEAN:
        return f"{name}: should be true or false."
    if problem["type"] not in _INTEGER:
        return f"{name}: {problem['msg'].replace('Input should', 'should')}."
    hint = ""
    service = {_variable("port"): "gateway", _variable("metrics_port"): "gateway-metrics"}.get(name)
    if service is not None:
        hint = f" (Kubernetes sets this variable for a Service named {service}: enableServiceLinks: false prevents it)"
    return f"{name}: should be a whole number{hint}."
