"""How the process logs: one JSON object a line, or, on a terminal, lines for people."""

import json
import logging
import os
import sys
from typing import TextIO, cast

import structlog

from gateway.cli.stderr_writer import StderrWriter


def configure_logs(level: str, *, waits: bool = True) -> None:
    """Send structured logs to stderr; colours only on a terminal, and not where NO_COLOR is set.

    Without ``waits`` nobody who logs waits for whoever reads; ``logging.shutdown``, which Python calls at its end,
    writes the rest.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    people = sys.stderr.isatty()
    renderer = (
        structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)
        if people
        else structlog.processors.JSONRenderer()
    )
    writer = None if waits else _writer()
    stream = sys.stderr if writer is None else cast(TextIO, writer)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = Handler(stream, writer)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _writer() -> StderrWriter | None:
    """Return what writes to stderr behind whoever logs; None: this stderr is no file that could make anybody wait."""
    try:
        return StderrWriter(sys.stderr.fileno())
    except OSError:
        return None


class Handler(logging.StreamHandler[TextIO]):
    """Writes what libraries log, and closes the writer that the whole process logs by."""

    def __init__(self, stream: TextIO, writer: StderrWriter | None) -> None:
        super().__init__(stream)
        self._writer = writer

    def close(self) -> None:
        """Write the rest."""
        super().close()
        if self._writer is not None:
            self._writer.close()


class JsonLines(logging.Formatter):
    """What libraries log, in the same form."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as one line of JSON, whatever it holds."""
        line = {"event": record.getMessage(), "level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
