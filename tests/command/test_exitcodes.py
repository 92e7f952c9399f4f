"""
Which exit status each error means.
"""

from __future__ import annotations

import pytest

from wasinet_twisted import errors
from wasinet_twisted.command.exitcodes import statusOf

pytestmark = pytest.mark.reactorless

STATUSES = {
    errors.WasinetError: 1,
    errors.ListenFailed: 1,
    errors.InvalidArgument: 2,
    errors.LocalProtocolError: 2,
    errors.NotSupported: 4,
    errors.UnknownHost: 6,
    errors.ConnectFailed: 7,
    errors.ConnectionRefused: 7,
    errors.RemoteProtocolError: 8,
    errors.ContentError: 8,
    errors.IncompleteRead: 18,
    errors.TimedOut: 28,
    errors.TooManyRedirects: 47,
    errors.HandshakeFailed: 35,
    errors.ConnectionClosed: 56,
    errors.CertificateError: 60,
    errors.CertificateExpired: 60,
    errors.CertificateNameMismatch: 60,
    errors.UnknownCertificateAuthority: 60,
    errors.LimitExceeded: 63,
    errors.MessageTooLarge: 63,
}


@pytest.mark.parametrize(("kind", "status"), STATUSES.items(), ids=lambda each: getattr(each, "__name__", str(each)))
def test_statuses(kind: type[errors.WasinetError], status: int) -> None:
    assert statusOf(kind("why")) == status


def test_everyErrorOfAClientHasOne() -> None:
    """
    A new kind of failed connection or of a peer's fault isn't left to "failed".
    """
    kinds = (errors.ConnectFailed, errors.RemoteProtocolError, errors.TimedOut)
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, kinds):
            assert statusOf(kind("why")) != 1, kind


def test_others() -> None:
    assert statusOf(ValueError("why")) == 1
