from __future__ import annotations

from pathlib import Path

import pytest

from eliza_state.storage.addresses import path_in, path_of, read_only, scheme_of


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("redis+cluster://a,b", "redis+cluster"),
        ("SQLite:///state.db", "sqlite"),
        ("state.db", None),
        (r"C:\data\state.db", None),
        ("C:/data/state.db", None),
        ("./old:state.db", None),
        (":memory:", None),
    ],
)
def test_a_scheme_has_two_letters_at_least(url: str, scheme: str | None) -> None:
    assert scheme == scheme_of(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///folder/state.json", "/folder/state.json"),
        ("file://localhost/folder/state.json", "/folder/state.json"),
        ("file:////folder/state.json", "/folder/state.json"),
        ("file:/folder/state.json", "/folder/state.json"),
        ("file:state.json", "state.json"),
        ("archive:./a%20b%3Fc", "a b?c"),
        ("file:///C:/state.json", "/C:/state.json"),
    ],
)
def test_a_path_is_from_the_root_or_from_the_current_folder(url: str, path: str) -> None:
    assert Path(path) == path_in(url, on_windows=False)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///C:/data/state.json", "C:/data/state.json"),
        ("file:C:/data/state.json", "C:/data/state.json"),
        ("archive:///d:", "d:"),
        ("file:///data/state.json", "/data/state.json"),
    ],
)
def test_a_drive_of_windows_has_no_slash_before_it(url: str, path: str) -> None:
    assert Path(path) == path_in(url, on_windows=True)


@pytest.mark.parametrize("url", ["file:", "file://", "file:///", "archive://archive", "file://server/x.json"])
def test_what_is_no_path_here_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        path_in(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("state.db?table=a", "state.db"),
        ("sqlite:///state.db?table=a", "state.db"),
        ("sqlite:////var/state.db", "/var/state.db"),
        ("file:state.json?flush_interval_ms=0", "state.json"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("redis://localhost/0", None),
        ("postgresql://localhost/state", None),
    ],
)
def test_the_path_of_a_url_is_known_where_it_has_one(url: str, path: str | None) -> None:
    assert (None if path is None else Path(path)) == path_of(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("state.db", "state.db?read_only=true"),
        ("state.db?table=a", "state.db?table=a&read_only=true"),
        ("sqlite:///state.db", "sqlite:///state.db?read_only=true"),
        ("postgresql://u:a%3Fb@h/d", "postgresql://u:a%3Fb@h/d?read_only=true"),
        ("sqlite:///state.db?read_only=false", "sqlite:///state.db?read_only=false"),
        ("sqlite://", "sqlite://"),
        ("redis://localhost/0", "redis://localhost/0"),
        ("file:state.json", "file:state.json"),
    ],
)
def test_sql_can_be_opened_to_be_read(url: str, expected: str) -> None:
    assert expected == read_only(url)


def test_a_malformed_url_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="as SQLAlchemy has it") as caught:
        read_only("postgresql://u:hunter2@host:port/db")

    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
