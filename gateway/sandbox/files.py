"""OpenAI's files: what fine-tunes were trained on, what was uploaded for batches and jobs, and what batches wrote."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from gateway.clock import Clock
from gateway.sandbox.forms import File, read_form
from gateway.sandbox.paging import Query, page
from gateway.sandbox.refusals import (
    ProviderError,
    check_choices,
    invalid_type,
    method_not_allowed,
    missing_parameter,
    openai_error,
    unknown_url,
)

FILES = "/files"
_PURPOSES = {"batch": "Batch", "fine-tune": "Fine-Tuning"}
KEPT_BYTES = 512 * 1024 * 1024
"""Of all files together; beyond, the oldest are forgotten."""
_FILES_A_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it is kept."""

    id: str
    name: str
    purpose: str
    content: bytes
    created_at: int
    """Unix time."""

    def describe(self) -> dict[str, Any]:
        """Return the file as OpenAI shows it."""
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.name,
            "bytes": len(self.content),
            "created_at": self.created_at,
            "expires_at": None,
            "status": "processed",
            "status_details": None,
        }


class StoredFiles:
    """The files that were uploaded or written here, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._files: dict[str, StoredFile] = {}
        self._bytes = 0

    def keep(self, name: str, purpose: str, content: bytes) -> StoredFile:
        """Keep a new file."""
        created_at = int(self._clock.now().timestamp())
        file = StoredFile(f"file-{uuid4().hex[:22]}", name, purpose, content, created_at)
        self._files[file.id] = file
        self._bytes += len(content)
        while self._bytes > KEPT_BYTES and len(self._files) > 1:
            self.forget(next(iter(self._files)))
        return file

    def find(self, file_id: str) -> StoredFile | None:
        """Return a file; None: it is not kept."""
        return self._files.get(file_id)

    def forget(self, file_id: str) -> None:
        """Drop a file."""
        self._bytes -= len(self._files.pop(file_id).content)

    def newest_first(self) -> list[StoredFile]:
        """Return all of them."""
        return list(reversed(self._files.values()))


def upload(files: StoredFiles, raw: bytes, content_type: str) -> dict[str, Any]:
    """Keep the file of a form, and return what became of it: what is in it is looked at once it is used.

    Raises:
        ProviderError: a 400: there is no such file in the form.
    """
    form = read_form(raw, content_type)
    for name in ("file", "purpose"):
        if form.get(name) is None:
            raise missing_parameter(name)
    check_choices(form, {"purpose": tuple(_PURPOSES)})
    file = form["file"]
    if not isinstance(file, File):
        raise invalid_type("file", "a file", file)
    if not file.name.endswith(".jsonl"):
        api = _PURPOSES[form["purpose"]]
        raise openai_error(400, f"Invalid file format for {api} API. Must be .jsonl", param="file")
    return files.keep(file.name, form["purpose"], file.content).describe()


def answer(
    files: StoredFiles, training_files: list[StoredFile], method: str, path: str, query: Query
) -> dict[str, Any] | bytes:
    """List the files, show one, or delete one that was stored here; bytes are a file's content.

    Raises:
        ProviderError: there is no such file or path, or what is asked cannot be done with it.
    """
    identity, _, action = path.removeprefix(FILES).removeprefix("/").partition("/")
    if action not in ("", "content"):
        raise unknown_url(method, f"/v1{path}")
    stored = files.find(identity)
    if method != "GET" and not (method == "DELETE" and identity and not action):
        raise method_not_allowed(method, f"/v1{path}")
    if method == "DELETE" and stored is not None:
        files.forget(identity)
        return {"id": identity, "object": "file", "deleted": True}
    if not identity:
        purposes = query.get("purpose", [])
        listed = [*files.newest_first(), *training_files]
        shown = [file.describe() for file in listed if not purposes or file.purpose in purposes]
        return page(shown, query, _FILES_A_PAGE, _FILES_A_PAGE, no_file)
    found = stored or next((file for file in training_files if file.id == identity), None)
    if found is None:
        raise no_file(identity)
    if method == "DELETE":
        raise method_not_allowed(method, f"/v1{path}")
    return found.content if action else found.describe()


def no_file(identity: str) -> ProviderError:
    """Return the answer to the id of a file that is not kept."""
    return openai_error(404, f"No such File object: {identity}", param="id")
