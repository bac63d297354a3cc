"""Names for what a draft holds: providers, routes, fallbacks, variables. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Final
from urllib.parse import urlsplit

from gateway.lifecycle.litellm_accounts import Account
from gateway.lifecycle.litellm_kinds import COMPATIBLE, SERVED

_LONGEST_NAME: Final = 100
_UNSAFE: Final = re.compile("[\x00-\x20\x7f-\xa0\u2028\u2029@]|\\s")


def variables_of(providers: Mapping[str, Account]) -> dict[str, str]:
    """Return the variables of keys; those that the config holds in clear get one that nobody else has."""
    variables = {name: account.key for name, account in providers.items() if account.key}
    taken = set(variables.values())
    for name, account in providers.items():
        if account.literal is None:
            continue
        known = SERVED.values() if account.kind != COMPATIBLE else ()
        usual = next((served.key for served in known if served.kind == account.kind and served.key), None)
        own = f"{re.sub(r'[^A-Z0-9]', '_', name.upper())}_{'CREDENTIALS' if account.kind == 'vertex' else 'API_KEY'}"
        variables[name] = next(free for free in chain((usual or own, own), _numbered(own)) if free not in taken)
        taken.add(variables[name])
    return variables


def _numbered(name: str) -> Iterator[str]:
    return (f"{name}_{number}" for number in count(2))


class Names:
    """Gives names that routes.yaml takes, each once; what has to be replaced becomes a hyphen."""

    def __init__(self, refused: re.Pattern[str] | None = None) -> None:
        """Take what a whole name must not be."""
        self._refused = refused
        self._given: set[str] = set()
        self._numbers: Counter[str] = Counter()

    def give(self, wanted: str) -> str:
        """Return the wanted name, or one as near as can be."""
        plain = _UNSAFE.sub("-", wanted).replace("..", "-").lstrip("/")[:_LONGEST_NAME] or "unnamed"
        if self._refused is not None and self._refused.fullmatch(plain):
            plain = f"to-{plain}"
        name = plain
        while name in self._given:
            self._numbers[plain] += 1
            name = f"{plain[: _LONGEST_NAME - 6]}-{self._numbers[plain] + 1}"
        self._given.add(name)
        return name


def names_of(accounts: Iterable[Account]) -> dict[Account, str]:
    """Return a name for each account: its kind, and where there are several of a kind, what tells them apart."""
    by_kind: dict[str, dict[Account, None]] = {}
    for account in accounts:
        by_kind.setdefault(account.kind, {})[account] = None
    names: dict[Account, str] = {}
    given = Names()
    for kind, found in by_kind.items():
        plain = kind.replace(".", "-") if kind != "openai-compatible" else "compatible"
        for account in found:
            label = _label(account) if len(found) > 1 or kind == "openai-compatible" else ""
            names[account] = given.give(f"{plain}-{label}" if label else plain)
    return names


def _label(account: Account) -> str:
    """Return what tells an account from others of its kind, as a part of a name."""
    host = urlsplit(account.base_url).hostname if account.base_url else None
    if host:
        part = host if re.fullmatch(r"[\d.]+|\[?[0-9a-f:]+\]?", host) else _telling(host)
    else:
        part = account.region or account.location or (account.key or "").lower()
        part = part.removeprefix(f"{account.kind}_").replace("api_key", "").replace("key", "")
    return re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:40].strip("-")


def _telling(host: str) -> str:
    """Return the part of a host's name that is its owner's."""
    parts = [part for part in host.split(".") if part not in ("api", "www")]
    return parts[0] if parts else host
