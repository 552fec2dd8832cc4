"""Figures that all transports share."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 72 * 1024 * 1024
"""Longest stdio line and largest HTTP body: room for a 50 MB file as base64 and the JSON around it."""

MAX_STDIO_CALLS = 2_000
"""Requests in flight on one stdio connection; further ones are answered with an error at once."""
