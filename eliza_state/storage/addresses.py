"""What a URL says before anything is opened: its scheme, a path, whether it is for reading.

`file:` and `archive:` name a path as RFC 8089 says: `file:///folder/state.json` from the root,
`file:state.json` from the current folder. `sqlite:` URLs are SQLAlchemy's, with one slash more.
"""

from __future__ import annotations

import os
import re
from pathlib import Path as FilePath
from typing import Final
from urllib.parse import unquote_to_bytes

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVE: Final = re.compile(r"/[A-Za-z]:(?=[/\\]|$)")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # one letter is a drive of Windows


def scheme_of(url: str) -> str | None:
    """Return what a URL begins with, in lower case; `None` for a text that is a path."""
    match = _SCHEME.match(url)
    return None if match is None else match[1].lower()


def path_of(url: str) -> FilePath | None:
    """Return the path of the file or folder that a URL names; `None` where it names neither."""
    scheme = scheme_of(url)
    if scheme in ("file", "archive"):
        return path_in(url.partition("?")[0])
    if scheme is None:
        return FilePath(url.partition("?")[0])
    database = parsed(url).database if scheme.partition("+")[0] == "sqlite" else None
    is_path = database and database != ":memory:" and not database.startswith("file:")
    return FilePath(database) if database and is_path else None


def path_in(url: str, *, on_windows: bool = os.name == "nt") -> FilePath:
    """Return the path that a URL without a query names, percent-decoded.

    Raises `ValueError` for one that names another computer, or no path.
    """
    scheme, _, path = url.partition(":")
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            # Not what stands there: it may hold a password.
            raise ValueError(
                f"expected {scheme}:///path from the root, or {scheme}:path from the current folder;"
                f" between {scheme}:// and the next / stands another computer's name"
            )
        path = slash + path
    decoded = os.fsdecode(unquote_to_bytes(path))
    if not on_windows:
        decoded = re.sub(r"^//+", "/", decoded)  # SQLAlchemy's four slashes are the same path
    elif _DRIVE.match(decoded):
        decoded = decoded[1:]
    if not decoded.strip("/"):
        raise ValueError(f"expected a path, as in {scheme}:///path or {scheme}:path")
    return FilePath(decoded)


def read_only(url: str) -> str:
    """Return the URL of the same SQL database, to be read only; every other URL as it is."""
    scheme = scheme_of(url)
    if scheme is not None and scheme.partition("+")[0] not in ("sqlite", "postgresql", "mysql", "mariadb"):
        return url
    if scheme is None:
        return url if "read_only=" in url else f"{url}{'&' if '?' in url else '?'}read_only=true"
    place = parsed(url)
    if "read_only" in place.query or (place.get_backend_name() == "sqlite" and path_of(url) is None):
        return url
    return place.update_query_dict({"read_only": "true"}).render_as_string(hide_password=False)


def parsed(url: str) -> URL:
    """Return the URL of a SQL database in its parts; raises `ValueError`, which does not repeat it."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # what it says may show a password
        raise ValueError(
            "expected a URL as SQLAlchemy has it, such as sqlite:///state.db or"
            " postgresql://user:password@host:5432/database"
        ) from None
