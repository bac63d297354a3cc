"""A server under measurement: its process tree, pinned to a core, with its memory and its processor time."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STOP_WITHIN_S = 15.0


class Failed(Exception):
    """A measurement could not be taken; the message says why."""


class Server:
    """A started process and its descendants, in a session of their own.

    ``core`` pins the whole tree. Output goes to ``log``. Ends with ``stop``, or with the ``with`` block.
    """

    def __init__(self, command: Sequence[str], *, core: int, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        self.started = time.perf_counter()
        ours = os.sched_getaffinity(0)
        # A child inherits the affinity of the thread that starts it: cheaper and safer than code between fork and exec.
        os.sched_setaffinity(0, {core})
        try:
            with log.open("wb") as out:
                self._process = subprocess.Popen(
                    command, env=dict(env), cwd=cwd, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
                )
        except OSError as error:
            raise Failed(f"{command[0]} does not start: {error.strerror}") from error
        finally:
            os.sched_setaffinity(0, ours)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def must_run(self) -> None:
        """Raise Failed, with the end of the log, where the process has ended by itself."""
        if (code := self._process.poll()) is not None:
            raise Failed(f"it ended with exit code {code}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of what the process wrote."""
        return self.log.read_text(errors="replace").strip()[-600:]

    def memory(self) -> dict[str, float]:
        """Return the tree's resident and proportional memory in MiB; the latter counts shared pages once."""
        totals_kib = {"Rss": 0, "Pss": 0}
        for pid in self._tree():
            for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
                name, _, value = line.partition(":")
                if name in totals_kib:
                    totals_kib[name] += int(value.split()[0])
        return {f"{name.lower()}_mib": round(kib / 1024, 1) for name, kib in totals_kib.items()}

    def cpu_s(self) -> float:
        """Return the processor time that the living processes of the tree have used, in seconds."""
        ticks = 0
        for pid in self._tree():
            fields = _stat(pid)
            if fields:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS_PER_S

    def settle(self, within_s: float = 15.0) -> None:
        """Wait until the tree has next to nothing left to do: abandoned requests, queues being written."""
        deadline = time.perf_counter() + within_s
        while time.perf_counter() < deadline:
            before = self.cpu_s()
            time.sleep(0.3)
            if self.cpu_s() - before <= 0.02:
                return

    def stop(self) -> None:
        """End the process politely, then whatever is left of its session."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pid in list(self._tree()):
            os.kill(pid, signal.SIGKILL)

    def _tree(self) -> Iterator[int]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (fields := _stat(int(entry.name))) and int(fields[3]) == self._process.pid:
                yield int(entry.name)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, from the state on; empty where the process is gone."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
