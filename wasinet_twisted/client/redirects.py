"""
Redirects: what the next request is, as the Fetch standard has it (section 4.4, "HTTP-redirect fetch").

Three things are stricter here, or said where the standard leaves them open:

 - a Location with user and password is refused, which the standard does where the
   two origins differ: the server would choose whose name a request goes out in;
 - two Locations are refused, even equal ones;
 - a body that can't be sent twice is an error only where it has to be sent again,
   not where a POST becomes a GET.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from multidict import CIMultiDict

from ..errors import InvalidArgument, NotSupported, RemoteProtocolError, TooManyRedirects
from ..http.checks import shorten
from .urls import Target

REDIRECTS = frozenset((301, 302, 303, 307, 308))
# What tells of a body goes with it (RFC 9110 section 15.4), and so does each field that begins with Content-.
_BODY_FIELDS = frozenset(("digest", "expect", "last-modified", "repr-digest", "trailer", "transfer-encoding"))
# What the caller meant for the first origin only.
_SECRETS = ("Authorization", "Proxy-Authorization", "Cookie", "Host")


@dataclass(frozen=True, slots=True)
class Redirect:
    """
    The next request.

    @ivar method: its method.
    @ivar target: where it goes.
    @ivar headers: its fields, without those that the change of method or of origin takes away.
    @ivar keepsBody: does it have the body of the one before?
    """

    method: str
    target: Target
    headers: CIMultiDict[str]
    keepsBody: bool


def redirected(
    method: str,
    headers: CIMultiDict[str],
    target: Target,
    status: int,
    locations: Sequence[str],
    *,
    hasBody: bool = False,
    replayable: bool = True,
) -> Redirect | None:
    """
    Return the request that a response asks for; L{None}: the response is no redirect, or has no Location.

    From https to http counts as another origin, as does another port. User and password of the URL go on to the same
    origin only.

    @param method: of the request that was answered.
    @param headers: the fields that its caller gave, which are not changed.
    @param target: where it went.
    @param status: the response's.
    @param locations: the values of all its Location fields.
    @param hasBody: did the request have a body, ...
    @param replayable: ... and can that be sent again?
    @raise RemoteProtocolError: there are several Locations, or the Location is no URL of http or https, or has a user.
    @raise NotSupported: the body would have to be sent again, and can't be.
    """
    if status not in REDIRECTS or not locations:
        return None
    following = _follow(target, status, locations)
    # RFC 9110 section 15.4.2 to 15.4.4; Fetch has the same.
    toGet = method == "POST" if status in (301, 302) else status == 303 and method not in ("GET", "HEAD")
    if hasBody and not toGet and not replayable:
        raise NotSupported(
            f"the {status} to {shorten(str(following))} asks for the body again, and this body can be sent only once; "
            "give it as bytes, or follow no redirects"
        )
    fields = headers.copy()
    if toGet:
        method = "GET"
        for name in list(fields):
            if name.lower() in _BODY_FIELDS or name.lower().startswith("content-"):
                fields.popall(name, None)
    if following.origin == target.origin:
        following.userinfo = target.userinfo
    else:
        for name in _SECRETS:
            fields.popall(name, None)
    return Redirect(method, following, fields, hasBody and not toGet)


def checkRedirects(followed: int, bound: int, target: Target) -> None:
    """
    See that one more redirect may be followed.

    @param followed: how many have been followed.
    @param bound: how many may be.
    @param target: where the next one leads.
    @raise TooManyRedirects: the bound is reached.
    """
    if followed >= bound:
        raise TooManyRedirects(f"more than {bound} redirects; the next would lead to {shorten(str(target))}")


def _follow(target: Target, status: int, locations: Sequence[str]) -> Target:
    where = f"the {status} of {shorten(str(target))}"
    if len(locations) > 1:
        raise RemoteProtocolError(f"{where} has {len(locations)} Location fields instead of one")
    try:
        following = target.join(locations[0])
    except InvalidArgument as error:
        raise RemoteProtocolError(f"{where} has a Location that can't be followed: {error}") from error
    if following.userinfo is not None:
        raise RemoteProtocolError(f"{where} has a Location with user information: {shorten(str(following))}")
    return following
