"""What is known of database servers, whoever talks to one.

A message never shows what a URL keeps secret.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator
from typing import Any, Final
from urllib.parse import quote, quote_plus

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from eliza_state.errors import Busy, StoreError

# What a transaction may be told that may be run again: serialization failure, deadlock, lock not available,
# and, since a row was not there when it was looked for, unique violation. PostgreSQL's, then MySQL's.
_REPEATABLE: Final = ("40001", "40P01", "55P03", "23505", 1213, 1205, 1062)
_SECRET_OPTIONS: Final = ("password", "passwd", "passphrase", "sslpassword", "ssl_key_password")
STORE_OPTIONS: Final = ("schema", "answer_within_ms")
"""What the query of a store's URL may hold that is not the driver's."""
DEFAULT_SCHEMA: Final = "eliza_state"
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Lost(StoreError):
    """The connection was lost or could not be made; nothing was changed, and another try may succeed."""


class Translation:
    """Turn what SQLAlchemy raises into `StoreError`, without what the URL keeps secret."""

    def __init__(self, url: URL) -> None:
        secrets = [url.password, *(url.query.get(name) for name in _SECRET_OPTIONS)]
        texts = [str(secret) for secret in secrets if secret]
        self._secrets = {form for text in texts for form in (text, quote(text), quote_plus(text))}

    @contextlib.contextmanager
    def __call__(self, purpose: str) -> Generator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            if isinstance(error, StatementError):
                error.hide_parameters = True  # they are values, which an engine of the application's may show
            text = str(getattr(error, "orig", None) or error).strip()
            shown = self._without_secrets(text)
            translated = _kind_of(error)(f"cannot {purpose}: {shown}")
            # The chain of causes shows the first text as well.
            raise translated from error if shown == text else None

    def translated(self, purpose: str, error: Exception, *, is_lost: bool) -> StoreError:
        """Return what is to be raised for an error of a driver's own; `is_lost` if it cost the connection."""
        text = f"cannot {purpose}: {self._without_secrets(str(error).strip())}"
        if is_lost:
            return Lost(text)
        return Busy(text) if code_of(error) in _REPEATABLE else StoreError(text)

    def _without_secrets(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def _kind_of(error: SQLAlchemyError) -> Callable[[str], StoreError]:
    if isinstance(error, PoolTimeoutError):
        return Busy
    if not isinstance(error, DBAPIError):
        return StoreError
    code = code_of(error.orig)
    if code in _REPEATABLE:
        return Busy
    # What comes before there is a connection; MySQL's clients number such errors from 2000.
    has_no_answer = code is None or code in range(2_000, 3_000)
    is_about_connection = isinstance(error, OperationalError | InterfaceError) and error.statement is None
    return Lost if error.connection_invalidated or (is_about_connection and has_no_answer) else StoreError


def code_of(cause: Any) -> str | int | None:
    """Return the SQLSTATE of PostgreSQL or the number of MySQL that a driver's error has, if any."""
    state: str | None = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    number = next(iter(cause.args), None)  # the drivers of PostgreSQL have a text there
    return state or (number if isinstance(number, int) else None)


def schema_of(url: URL) -> str:
    """Return the schema that the URL of a store in PostgreSQL names, or the one that is taken otherwise.

    Raises `StoreError` for a name that would need quotes.
    """
    schema = url.query.get("schema", DEFAULT_SCHEMA)
    if not isinstance(schema, str) or _SCHEMA.fullmatch(schema) is None:
        raise StoreError(
            f"a schema's name has up to 63 of a-z, 0-9 and _, and does not start with a digit; got {schema!r}"
        )
    return schema


def in_store(url: URL) -> URL:
    """Return the URL, for PostgreSQL's driver, by which tables without a schema are in that of a store."""
    given = url.query.get("options", "")
    options = given if isinstance(given, str) else " ".join(given)
    path = f"{options} -csearch_path={schema_of(url)}".strip()
    return url.difference_update_query(STORE_OPTIONS).update_query_dict({"options": path})
