"""When a request is sent to the same host again: the only place where a request is repeated without being asked to.

Only where nothing was done or repeating is harmless: the connection was not established, the host had no room (429,
503), or the connection of an idempotent request broke before a response. Three attempts in all, waits with full
jitter, and two brakes for a host in trouble: a bucket of tokens that retries empty and successes fill, and a share of
the requests of two minutes.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from ollama_mcp.api import error_mapping
from ollama_mcp.errors import Busy

if TYPE_CHECKING:
    from ollama_mcp.api.host_config import ClientTimeouts
    from ollama_mcp.api.http_session import ApiRequest, RequestInfo

ATTEMPTS = 3
# Seconds: the first wait after a lost connection, and after a host that has no room; the longest.
_BASE, _BUSY_BASE, _LONGEST = 0.05, 1.0, 5.0
MAX_RETRY_AFTER = 20.0
# How much later than asked a call comes back at most, so that many do not come at once.
_SPREAD = 0.25
_FULL_BUCKET, _COST, _REFUND = 100.0, 5.0, 1.0
# A connect timeout that ends so much late was counted by an event loop that was busy with other calls.
_LATE_SECONDS = 0.5
_WINDOW_SECONDS = 120.0
_SHARE, _ALWAYS = 0.1, 3


class Retries:
    """The attempts of all requests to one host.

    Attributes:
        requests: How many requests were sent, repetitions not counted; kept by the sender.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._retries = 0
        self._tokens = _FULL_BUCKET
        self._refunded = 0
        # (time, requests, retries) whenever a retry was asked for, the newest last.
        self._asked: deque[tuple[float, int, int]] = deque()

    async def wait(
        self,
        request: ApiRequest,
        info: RequestInfo,
        error: Exception,
        attempt: int,
        timeouts: ClientTimeouts,
        *,
        seconds: float,
    ) -> None:
        """Return when the failed request may be sent again.

        Args:
            request: The request.
            info: What its errors name.
            error: What it failed with: an error of the connection, or Busy.
            attempt: How often it was sent.
            timeouts: The limits of the attempt.
            seconds: How long the attempt took.

        Raises:
            ApiError: It may not be; what it failed with.
        """
        import httpx

        if isinstance(error, Busy):
            wait = self._wait_when_busy(request, error, attempt)
            if wait is None or not self._may_spend(request, attempt):
                raise error
        elif isinstance(error, httpx.ReadTimeout):
            raise error_mapping.timeout_error(info, timeouts.first_byte) from None
        elif isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | socket.gaierror | UnicodeError):
            # A timeout has already used up its time, and a name or a certificate stays wrong. Where this process was
            # too busy to look in time, the time up says nothing of the host.
            was_late = timeouts.connect is not None and seconds > timeouts.connect + _LATE_SECONDS
            is_retryable = isinstance(error, httpx.ConnectError) or (
                isinstance(error, httpx.ConnectTimeout) and was_late
            )
            is_final = not is_retryable or error_mapping.is_tls_error(error)
            if is_final or not self._may_spend(request, attempt):
                raise error_mapping.connect_error(info, error, timeouts.connect) from error
            wait = random.uniform(0, min(_BASE * 2**attempt, _LONGEST))
        elif not request.idempotent or attempt > 1 or not self._may_spend(request, attempt):
            raise error_mapping.disconnected_before_response(info, error) from error
        else:
            return
        await asyncio.sleep(wait)

    def _wait_when_busy(self, request: ApiRequest, error: Busy, attempt: int) -> float | None:
        """Seconds to wait for a host that has no room; None where it asks for too long, or was not asked at all."""
        # What came in pieces is gone; an error without a status is this machine's own.
        if error.status is None or not isinstance(request.body, bytes | None):
            return None
        if error.retry_after is not None:
            asked = error.retry_after
            return asked * random.uniform(1, 1 + _SPREAD) if asked <= MAX_RETRY_AFTER else None
        # Ollama's own words mean a full queue; a proxy's page may mean anything.
        return random.uniform(0, min(_BUSY_BASE * 2 ** (attempt - 1), _LONGEST)) if error.detail else None

    def _may_spend(self, request: ApiRequest, attempt: int) -> bool:
        """Take the tokens of a retry, where there are any and the share of retries is not used up."""
        if attempt >= (request.attempts or ATTEMPTS):
            return False
        now = time.monotonic()
        while self._asked and now - self._asked[0][0] > _WINDOW_SECONDS:
            self._asked.popleft()
        self._asked.append((now, self.requests, self._retries))
        _, requests, retries = self._asked[0]
        self._tokens = min(_FULL_BUCKET, self._tokens + _REFUND * (self.requests - self._refunded))
        self._refunded = self.requests
        if self._tokens < _COST or self._retries - retries >= max(_ALWAYS, _SHARE * (self.requests - requests)):
            return False
        self._tokens -= _COST
        self._retries += 1
        return True
