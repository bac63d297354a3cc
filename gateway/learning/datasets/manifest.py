"""What a directory of training data is: whose rows, from where, by whom, and which line is of which input."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import orjson

from gateway.errors import ConfigError

MANIFEST: Final = "manifest.json"
VERSION: Final = 1
CANONICAL: Final = "canonical"
"""The format of a built data set: chats as OpenAI's fine-tuning reads them, and preference pairs beside them."""
NEUTRAL: Final = "neutral"
"""The format of what ``export --everything`` saves: files as a provider had them, and rows as the database has them."""

Origin = Literal["human", "model", "unknown"]
"""Who wrote an answer; unknown: it came in a file that does not say so."""
Consent = Literal["feedback", "capture", "file"]
"""Why it may be used. feedback: of a request that was kept, or sent along; capture: its route and its key may be kept;
file: the operator named a file."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """What one line of a file is."""

    input_id: str
    """As the store knows the input: by it a deletion finds the line."""
    source: str
    """corrections, approved, recordings, captured, or the file's name."""
    origin: Origin
    consent: Consent
    by: str | None = None
    """Who corrected or approved it."""
    model: str | None = None
    """Whose answer it is, as provider/model; None: a person's, or not known."""
    feedback_id: str | None = None


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file beside the manifest, and what its lines are, in their order."""

    sha256: str
    rows: tuple[ManifestRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a directory of training data is."""

    route: str
    tenant: str | None
    format: str
    """``canonical``, or a name of ``formats.FORMATS``."""
    files: Mapping[str, ManifestFile]
    built_at: datetime
    by: str
    sources: Mapping[str, int] = field(default_factory=dict)
    """Rows by source, in all files of examples."""
    systems: Mapping[str, int] = field(default_factory=dict)
    """Training rows by their system message, of those that several rows share; an empty text: without one."""
    split: str = ""
    """The rule by which rows are trained on or kept to evaluate with."""
    redacted: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens by file."""
    counted_by: str = ""
    terms: str = ""
    dataset_hash: str = ""
    """``sha256:…`` over the content of its files; an export has that of the data set it was made from."""
    earlier_hashes: tuple[str, ...] = ()
    """What the hash was before rows were deleted at somebody's wish: models may have been trained from that."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Rows that are in no file, by reason."""
    told: tuple[str, ...] = ()
    """Ids of evaluation rows that are in no file: training rows tell their answers, so whoever trains has seen them."""

    @property
    def input_ids(self) -> list[str]:
        """Return the ids of all inputs in its files, sorted."""
        return sorted({row.input_id for file in self.files.values() for row in file.rows})

    def rows(self, name: str) -> Sequence[ManifestRow]:
        """Return what the lines of a file are; nothing where there is no such file."""
        return self.files[name].rows if name in self.files else ()

    def summary(self) -> dict[str, Any]:
        """Return it as JSON, of its rows no more than the inputs' ids: what the database keeps for lineage."""
        whole = self._as_json()
        whole["files"] = {
            name: {
                "sha256": file.sha256,
                "rows": len(file.rows),
                "input_ids": sorted({row.input_id for row in file.rows}),
            }
            for name, file in self.files.items()
        }
        whole["told"] = len(self.told)
        return whole

    def to_bytes(self) -> bytes:
        """Return it as it is written beside the files."""
        return orjson.dumps(self._as_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    def _as_json(self) -> dict[str, Any]:
        whole = {"version": VERSION, **asdict(self)}
        for file in whole["files"].values():
            file["rows"] = [{key: value for key, value in row.items() if value is not None} for row in file["rows"]]
        whole["built_at"] = self.built_at.isoformat()
        return whole


def parse_manifest(content: bytes, label: str) -> Manifest:
    """Return the manifest in a file's content; ``label`` names it.

    Raises:
        ConfigError: it is none that this version reads.
    """
    try:
        whole = orjson.loads(content)
        if whole.pop("version") != VERSION:
            raise ConfigError(f"{label} is of a later version of gateway dataset")
        files = {
            name: ManifestFile(file["sha256"], tuple(ManifestRow(**row) for row in file["rows"]))
            for name, file in whole.pop("files").items()
        }
        built_at = datetime.fromisoformat(whole.pop("built_at"))
        earlier, told = tuple(whole.pop("earlier_hashes")), tuple(whole.pop("told", ()))
        return Manifest(**whole, files=files, built_at=built_at, earlier_hashes=earlier, told=told)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        raise ConfigError(f"{label} is no manifest of gateway dataset") from None


def hash_of(files: Mapping[str, bytes]) -> str:
    """Return the hash of a data set's content: its files by name."""
    lines = (f"{name} {sha256_of(content)}\n" for name, content in sorted(files.items()))
    return f"sha256:{sha256_of(''.join(lines).encode())}"


def sha256_of(content: bytes) -> str:
    """Return 64 hex digits."""
    return hashlib.sha256(content).hexdigest()
