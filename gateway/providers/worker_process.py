"""The parent's side of the process that holds litellm: start it, keep it running, end it. Never imports litellm.

The listening socket is the parent's. A child that dies leaves what was under way broken, but not what had not been
accepted yet: that waits in the kernel's queue for the next child, as it does while the first imports.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

import gateway
from gateway.clock import Clock
from gateway.providers.connect_guard import Destination
from gateway.providers.litellm_versions import refuse_malicious

BACKLOG = 1024
MODULE = "gateway.providers.litellm_worker"
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
# A child that lived this long did not die of how it starts.
SETTLED_S = 60.0
END_S = 3.0

_SOURCE = str(Path(gateway.__file__).parent.parent)
_KEPT_NAMES = frozenset(
    {
        "HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "TMPDIR",
        "TZ", "VIRTUAL_ENV",
        # What Azure's and Google's machines set for identities; AWS's all begin with AWS_.
        "AZURE_AUTHORITY_HOST", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_TENANT_ID", "AZURE_CLIENT_CERTIFICATE_PATH", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT",
        "CLOUDSDK_CONFIG", "GCE_METADATA_HOST", "GCLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_CLOUD_PROJECT",
    }
)  # fmt: skip


class LitellmWorker:
    """One child process, and the socket that it serves."""

    def __init__(self, *, python: str = sys.executable, clock: Clock, environ: Mapping[str, str] | None = None) -> None:
        """Start nothing yet.

        Raises:
            ConfigError: the litellm that is installed is a malicious release.
        """
        refuse_malicious()
        self._python = python
        self._clock = clock
        self._environ = os.environ if environ is None else environ
        self._directory = Path(tempfile.mkdtemp(prefix="understudy-"))
        self._listener: socket.socket | None = None
        self._wanted = asyncio.Event()
        """Somebody needs the child."""
        self._process: asyncio.subprocess.Process | None = None
        self._supervision: asyncio.Task[None] | None = None
        self.path = str(self._directory / "litellm.sock")
        """The Unix socket's path; in a directory that only this user can enter."""
        self._hosts = self._directory / "hosts.json"
        """Where the child reads what it may connect to."""
        self._places: frozenset[Destination] = frozenset()
        self.restarts = 0
        """How often a child was started because the one before it had died."""

    @property
    def alive(self) -> bool:
        """Whether there is a child just now; it may still be importing."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process is not None and self.alive else None

    def permit(self, places: Iterable[Destination]) -> None:
        """Have the child connect to these places alone from now on; until it is told any, it connects nowhere.

        The last ones that were others stay, too: calls that are under way began with them.
        """
        named = frozenset(places)
        if named == self._places and self._hosts.exists():
            return
        written = self._hosts.with_suffix(".new")
        written.write_text(json.dumps(sorted(named | self._places, key=str)))
        os.replace(written, self._hosts)
        self._places = named

    def listen(self, *, at_once: bool) -> None:
        """Listen from now on; start the child now (``at_once``), or with the first call, which waits for it."""
        if self._listener is None:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.setblocking(False)
            self._listener.bind(self.path)
            self._listener.listen(BACKLOG)
            self._supervision = asyncio.get_running_loop().create_task(self._supervise(self._listener))
        if at_once:
            self._wanted.set()

    async def close(self) -> None:
        """End the child, and remove the socket; more than once is fine."""
        if self._supervision is not None:
            self._supervision.cancel()
            await asyncio.gather(self._supervision, return_exceptions=True)
            self._supervision = None
        if self._process is not None:
            await _end(self._process)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _supervise(self, listener: socket.socket) -> None:
        """Start the child when it is wanted, and again when it dies, after pauses that grow while it dies young."""
        await self._until_wanted(listener)
        log = structlog.get_logger("litellm_worker")
        pause_s = FIRST_PAUSE_S
        while True:
            since = self._clock.monotonic()
            try:
                self._process = await self._spawn(listener)
                code = await self._process.wait()
            except OSError as error:
                self._process = None
                log.error("litellm_worker_cannot_start", error=str(error), restart_in_s=pause_s)
            else:
                if self._clock.monotonic() - since >= SETTLED_S:
                    pause_s = FIRST_PAUSE_S
                log.error("litellm_worker_died", exit_code=code, restart_in_s=pause_s)
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            self.restarts += 1

    async def _until_wanted(self, listener: socket.socket) -> None:
        """Wait until the child is asked for, or somebody calls: a call waits in the listener's queue."""
        loop = asyncio.get_running_loop()
        loop.add_reader(listener, self._wanted.set)
        try:
            await self._wanted.wait()
        finally:
            loop.remove_reader(listener)

    async def _spawn(self, listener: socket.socket) -> asyncio.subprocess.Process:
        # The child's standard input is the pipe whose end tells it that this process is no more.
        return await asyncio.create_subprocess_exec(
            self._python,
            # Nothing is imported from the directory that the gateway happens to run in.
            "-P",
            "-m",
            MODULE,
            "--fd",
            str(listener.fileno()),
            "--hosts",
            str(self._hosts),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(listener.fileno(),),
            env=child_environment(self._environ),
        )


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the child may know: where its machine's cloud identity is, but no provider's key, and no proxy."""
    kept = {name: value for name, value in environ.items() if name in _KEPT_NAMES or name.startswith("AWS_")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (_SOURCE, environ.get("PYTHONPATH", ""))))
    return kept


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a child: asked first, then not."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.stdin is not None:
        process.stdin.close()
