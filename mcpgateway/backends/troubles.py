"""Say in words why a connection could not be made, or broke."""

from __future__ import annotations

from twisted.internet import error
from twisted.python.failure import Failure

from mcpgateway.errors import BackendError, Unreachable


def trouble(why: Failure) -> BackendError:
    """What went wrong with a connection, as an error for the caller; without addresses, which may hold secrets."""
    if isinstance(why.value, BackendError):
        return why.value
    if why.check(error.DNSLookupError):
        return Unreachable("its host name is not known")
    if why.check(error.ConnectError, error.TimeoutError):
        return Unreachable(f"no connection: {sentence(why.value)}")
    return BackendError(f"the connection broke: {sentence(why.value)}")


def sentence(why: BaseException | None) -> str:
    """One reason, short."""
    reasons = getattr(why, "reasons", None)  # of several, as Twisted reports them for an answer
    if reasons:
        return sentence(reasons[0].value)
    if isinstance(why, error.ConnectionDone | error.ConnectionLost):
        return "it was closed"
    # Known by their names, since to import them is to load OpenSSL.
    match type(why).__module__, type(why).__name__:
        case "service_identity.exceptions", "VerificationError":
            return "its certificate is not for this host"
        case "OpenSSL.SSL", "Error":
            return _tls(why)
    return str(why).rstrip(".") or type(why).__name__


def _tls(why: BaseException | None) -> str:
    found = why.args[0] if why is not None and why.args else ()
    reasons = [str(each[-1]) for each in found if each] if isinstance(found, list) else []
    told = ", ".join(reasons) or "the handshake failed"
    return f"its certificate is not trusted ({told})" if "certificate" in told else f"TLS: {told}"
