"""The log as JSON objects, one a line, for what collects logs."""

from __future__ import annotations

import json
import logging
import time


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, and the traceback of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; what its message contains cannot begin another."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        entry = {
            "at": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def log_as_json() -> None:
    """Let all loggers of the process write JSON, those of libraries too."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())
