"""A change of routes.yaml that makes another model a route's primary: proven by loading it, and shown as a patch.

Whatever the text edit did, the result is loaded and compared: exactly that route's primary differs, or there is no
patch, and the message says what to change by hand.
"""

import contextlib
import difflib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.findings import Finding, InvalidRoutes, printable
from gateway.config.loader import Loaded, load
from gateway.config.model_ids import base_of
from gateway.config.route_names import RouteName
from gateway.config.routes import Routes, Target
from gateway.errors import ConfigError
from gateway.lifecycle.primary_text import CannotPlace, NewPrimary, with_primary
from gateway.reasons import Role


@dataclass(frozen=True, slots=True)
class PrimaryPatch:
    """One file before and after."""

    path: Path
    label: str
    """How findings call the file: its path from the directory of routes.yaml."""
    before: bytes
    after: bytes
    routes: Routes
    """The configuration as it is with the change."""
    warnings: tuple[Finding, ...]
    """What its operator should know of it."""

    @property
    def changes_nothing(self) -> bool:
        """Whether the primary is that already."""
        return self.before == self.after

    def diff(self, start: Path) -> str:
        """Return a unified diff that ``git apply`` and ``patch -p1`` take in the directory ``start``.

        A file that is not below it is called by its path from the directory of routes.yaml.
        """
        path, name = os.path.abspath(self.path), self.label
        with contextlib.suppress(ValueError):
            name = str(Path(path).relative_to(os.path.abspath(start)))
        old, new = (_lines(content.decode()) for content in (self.before, self.after))
        found = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in found)


def patch_primary(loaded: Loaded, route: str, new: NewPrimary, *, environ: Mapping[str, str]) -> PrimaryPatch:
    """Return the change that makes ``new`` the primary of a route; writes nothing.

    Raises:
        ConfigError: it cannot be made safely; the message says why, and what to change by hand.
    """
    origin = loaded.origins[route].route
    first = Path(loaded.routes.files[0])
    path = Path(os.path.abspath(first.parent / origin.file))
    by_hand = _by_hand(route, new, f"{origin.file}:{origin.line}")
    try:
        before = path.read_bytes()
        keeps = _provider(loaded, route) == new.provider
        text = with_primary(before.decode(), _keys(loaded, route), new, keeps_provider=keeps)
    except CannotPlace as error:
        raise ConfigError(f"{by_hand}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    after = text.encode()
    try:
        changed = load(first, environ=environ, instead={path: after})
    except InvalidRoutes as error:
        raise ConfigError(f"{route} cannot have {new.model} as its primary:\n{error}") from None
    if changed.routes != _expected(loaded.routes, route, new, changed.routes.config_hash):
        raise ConfigError(f"{by_hand}: as it is written, more than that would change with it, or less")
    return PrimaryPatch(path, origin.file, before, after, changed.routes, changed.warnings)


def write_patch(patch: PrimaryPatch) -> None:
    """Write the file anew, whole or not at all; its owner and mode stay, and a link goes on leading to it.

    Raises:
        ConfigError: it cannot be written, or is not to be, or somebody has changed it meanwhile.
    """
    path = Path(os.path.realpath(patch.path))
    written = None
    try:
        # Opened to be written: a directory that may be would let a file be replaced that may not.
        with path.open("r+b") as known:
            if known.read() != patch.before:
                raise ConfigError(f"{patch.path} has changed meanwhile; try again")
        handle, written = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(patch.after)
            stream.flush()
            os.fsync(stream.fileno())
        _keep_owner(Path(written), path.stat())
        os.replace(written, path)
        written = None
    except OSError as error:
        raise ConfigError(f"cannot write {patch.path}: {error.strerror}") from None
    finally:
        if written is not None:
            with contextlib.suppress(OSError):
                os.unlink(written)


def _keep_owner(written: Path, was: os.stat_result) -> None:
    # Written by root, a file that nobody else may read would be closed to the gateway. Who is not root may not give
    # files away, but may have leave to write this one by its group.
    for owner in (was.st_uid, -1):
        with contextlib.suppress(PermissionError):
            os.chown(written, owner, was.st_gid)
            break
    written.chmod(was.st_mode & 0o7777)


def _provider(loaded: Loaded, route: str) -> str | None:
    """Return the provider that a primary has where nothing more is said of it."""
    primary = loaded.routes.routes[route].primary
    if primary is not None:
        return primary.provider.name
    said = loaded.origins[route].route.get("provider")
    return said.text if said is not None else None


def _keys(loaded: Loaded, route: str) -> list[str]:
    called: RouteName = loaded.origins[route].name
    variant = [] if called.tenant is None else ["variants", called.tenant]
    return ["routes", called.task, *variant]


def _expected(routes: Routes, name: str, new: NewPrimary, config_hash: str) -> Routes:
    """Return the configuration with that primary, and else as it is."""
    route, provider = routes.routes[name], routes.providers.get(new.provider)
    if provider is None:
        raise ConfigError(f"there is no provider {new.provider!r} in routes.yaml")
    model = {"provider": provider, "model": new.model, "base": new.base or base_of(new.model)}
    if route.primary is not None:
        primary = route.primary.model_copy(update=model)
    else:
        primary = Target(name="primary", role=Role.PRIMARY, **model)
    changed = {**routes.routes, name: route.model_copy(update={"primary": primary})}
    return routes.model_copy(update={"routes": changed, "config_hash": config_hash})


def _by_hand(route: str, new: NewPrimary, at: str) -> str:
    base = f", base {new.base}" if new.base and new.base != base_of(new.model) else ""
    what = printable(f"provider {new.provider}, model {new.model}{base}")
    return f"{at}: write the primary of {route} by hand ({what})"


def _lines(text: str) -> list[str]:
    """Split at line feeds alone, as diff does."""
    *lines, rest = text.split("\n")
    return [*(f"{line}\n" for line in lines), *([rest] if rest else [])]
