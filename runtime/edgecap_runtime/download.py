"""One photo from an http or https address, within limits."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request

import edgecap
from edgecap.errors import SourceError

_CHUNK_BYTES = 65_536


class _Refusal(Exception):
    """What came instead of a photo, and what to do."""


def download(address: str, timeout: float, maximum_bytes: int) -> bytes:
    """The content behind an address.

    Args:
        address: begins with `http://` or `https://`; redirections stay with these two.
        timeout: seconds that all of it may take.
        maximum_bytes: what is longer is cut there, so that too long shows.

    Raises:
        SourceError: if there is no answer in time, or it is not a photo.
    """
    try:
        return _download(address, time.monotonic() + timeout, timeout, maximum_bytes)
    except _Refusal as refusal:
        reason = str(refusal)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"the server answered {error.code} {error.reason}; check the address"
    except TimeoutError:
        reason = f"no answer within {timeout:g} s; try again or give a longer --timeout"
    except urllib.error.URLError as error:
        reason = f"cannot be reached ({error.reason}); check the address and the network"
        if isinstance(error.reason, TimeoutError):
            reason = f"no answer within {timeout:g} s; try again or give a longer --timeout"
    except (OSError, http.client.HTTPException, ValueError) as error:
        name = type(error).__name__
        reason = f"cannot be fetched ({name}: {error}); check the address and the network"
    raise SourceError(" ".join(f"{address}: {reason}".split())[:400])


def _download(address: str, deadline: float, timeout: float, maximum_bytes: int) -> bytes:
    # What a browser would send: spaces and letters outside ASCII are escaped, the rest stays.
    safe = urllib.parse.quote(address, safe="%/:=&?~#+!$,;'@()*[]")
    agent = f"edgecap/{edgecap.__version__}"
    request = urllib.request.Request(safe, headers={"User-Agent": agent, "Accept": "image/*"})
    with _opener().open(request, timeout=timeout) as answer:
        kind = answer.headers.get_content_type()
        if kind.startswith("text/") or kind.endswith(("html", "json", "xml")):
            raise _Refusal(f"answered with {kind}, not a photo; give the photo's own address")
        parts = []
        left = maximum_bytes
        while left > 0 and (part := answer.read1(min(left, _CHUNK_BYTES))):
            parts.append(part)
            left -= len(part)
            # The socket's own limit counts each wait anew.
            if time.monotonic() > deadline:
                raise TimeoutError
        content = b"".join(parts)
        promised = answer.headers.get("Content-Length", "")
        if promised.isdigit() and len(content) < min(int(promised), maximum_bytes):
            raise _Refusal(f"broke off after {len(content)} of {promised} bytes; try again")
        return content


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https and nothing else, redirected or not: no files, no ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPRedirectHandler(),
    ):
        opener.add_handler(handler)
    return opener
