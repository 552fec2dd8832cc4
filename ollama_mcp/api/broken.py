"""Connections that failed into the errors of this project: what happened, said in words."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, cast

from ollama_mcp.api.failures import not_ollama
from ollama_mcp.errors import ApiError, Busy, Interrupted, Timeout, Unreachable
from ollama_mcp.formats.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ollama_mcp.api.failures import Where

# OpenSSL's verify codes (X509_V_ERR_...), https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/.
_EXPIRED, _NOT_YET, _OTHER_NAME = 10, 9, (62, 64)
_SELF_SIGNED = (18, 19)
# What no loading model holds up; ollama_list_running and ollama_status ask for just these.
_ANSWERED_AT_ONCE = ("/", "/api/version", "/api/ps", "/api/tags", "/api/status")


def connect_error(where: Where, error: BaseException, limit: float | None) -> ApiError:
    """The error of a connection that did not come about; nothing was sent.

    Args:
        where: The call.
        error: httpx's error; its causes tell more.
        limit: Seconds that connecting may take.
    """
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror | UnicodeError):
            return _unreachable(where, "its name does not resolve (DNS)", "Check the host's name in the settings.")
        if isinstance(cause, ssl.SSLError):
            return _tls(where, cause)
        if isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE):
            return where.error(
                Busy, "This process has too many open files to connect.", "Wait for other calls to end, then try again."
            )
        if isinstance(cause, ConnectionRefusedError):
            return _unreachable(
                where, "the connection was refused, so nothing listens there", "Start Ollama (`ollama serve`)."
            )
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return _unreachable(where, escape(cause.strerror, 80), "Check the address and the network.")
    within = f" within {limit:g} s" if limit is not None else ""
    return _unreachable(where, f"no connection came about{within}", "Check the address, the network and the firewall.")


def is_tls_error(error: BaseException) -> bool:
    """Whether TLS failed, which another attempt does not mend."""
    return any(isinstance(cause, ssl.SSLError) for cause in _causes(error))


def lost_before_answer(where: Where, error: BaseException) -> ApiError:
    """The error of a request that was sent, but whose connection broke before any byte of an answer."""
    if "illegal" in str(error):
        return not_ollama(where, "it does not speak HTTP")
    return where.error(
        Interrupted,
        f"{where.place} closed the connection before it answered {where.endpoint}, which may have been done.",
        "Try again; if it stays, that Ollama's log says why.",
    )


def lost_within_answer(where: Where) -> ApiError:
    """The error of an answer whose connection broke."""
    return where.error(
        Interrupted,
        f"The connection to {where.place} broke in the middle of the answer to {where.endpoint}.",
        "What had come is kept; ask again for the rest.",
    )


def silent(where: Where, limit: float | None, *, began: bool = False) -> ApiError:
    """The error of a server that sent nothing (more) for too long."""
    what = "no further line" if began else "no answer"
    within = f" within {limit:g} s" if limit is not None else " in time"
    busy = "It may be loading a model or be busy: see ollama_list_running, or allow more time in the settings."
    stuck = "A healthy Ollama answers that at once, even when busy: the user may look at its log, or restart it."
    next_step = stuck if where.path in _ANSWERED_AT_ONCE else busy
    return where.error(Timeout, f"{where.place} sent {what} to {where.endpoint}{within}.", next_step)


def _tls(where: Where, error: ssl.SSLError) -> ApiError:
    trust = "If you trust it, name its CA file in the host's settings."
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in (_EXPIRED, _NOT_YET):
            return _unreachable(where, "its TLS certificate has expired or is not yet valid", "Renew the certificate.")
        if code in _OTHER_NAME:
            return _unreachable(where, "its TLS certificate is for another name", "Use the name in the certificate.")
        if code in _SELF_SIGNED:
            return _unreachable(where, "its TLS certificate is self-signed", trust)
        return _unreachable(where, "its TLS certificate is from an unknown issuer", trust)
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return _unreachable(where, "it speaks plain HTTP, not TLS", "Write its address with http://.")
    return _unreachable(where, f"TLS failed ({escape(error.reason or 'no reason given', 60)})", trust)


def _unreachable(where: Where, why: str, next_step: str) -> ApiError:
    return where.error(Unreachable, f"{where.place} can't be reached: {why}.", next_step)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all its causes, those inside exception groups too; the deepest tell most and come first."""
    found = [error]
    for each in found:
        if isinstance(each, BaseExceptionGroup):
            found.extend(cast("BaseExceptionGroup[BaseException]", each).exceptions)
        found.extend(cause for cause in (each.__cause__, each.__context__) if cause and cause not in found)
    yield from reversed(found)
