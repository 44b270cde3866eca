"""URLs, and clients of redis-py, become the servers that a storage talks to."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from eliza_state.errors import StoreError
from eliza_state.storage.redis.client import opener
from eliza_state.storage.redis.cluster import Cluster
from eliza_state.storage.redis.servers import OneServer
from eliza_state.storage.redis.storage import RedisStorage
from tests.eliza_state.storage.redis.server import PATIENT_MS

if TYPE_CHECKING:
    from tests.servers import RedisServer


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://localhost", OneServer),
        ("redis://ada:love%40lace@localhost:6380/3", OneServer),
        ("REDIS://localhost", OneServer),
        ("rediss://localhost:6380/0?ssl_cert_reqs=none", OneServer),
        ("unix:///run/redis.sock?db=2", OneServer),
        ("redis+sentinel://one:26379,two/main/3?sentinel_password=x", OneServer),
        ("rediss+sentinel://ada:lovelace@[::1]:26379,two/main", OneServer),
        ("redis+cluster://one:7000,two,[::1]:7001", Cluster),
        ("rediss+cluster://ada:lovelace@one:7000/0", Cluster),
    ],
)
def test_a_url_names_servers(url: str, kind: type[Any]) -> None:
    assert isinstance(opener(url, limit_s=1)(), kind)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "http://localhost",
        "redis:localhost",
        "redis://localhost:port",
        "redis://localhost/sesame",
        "redis://:open/sesame@localhost",
        "redis://:open#sesame@localhost",
        "redis://localhost?sesame=1",
        "redis://localhost?socket_timeout=sesame",
        "redis+sentinel://localhost",
        "redis+sentinel://localhost/main/sesame",
        "redis+sentinel:///main",
        "redis+cluster://",
        "redis+cluster://localhost/1",
        "redis+cluster://localhost:7000,:7001",
        "redis+magic://localhost",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected|a Redis cluster has one database"):
        RedisStorage[Any](url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://ada:open/sesame@localhost",
        "redis://ada:open:sesame@localhost:x",
        "redis+cluster://ada:open/sesame@one,two",
        "ada:opensesame@localhost",
    ],
)
def test_what_may_be_a_password_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        RedisStorage[Any](url)

    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not {"open", "sesame", "opensesame"} & set(str(caught.value).replace("'", " ").split())


@pytest.mark.parametrize("source", [None, 7, redis.Redis(), b"redis://localhost"])
def test_anything_else_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a URL or a client of redis\.asyncio"):
        RedisStorage[Any](source)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_an_absurd_time_limit_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="a time limit is a positive number"):
        RedisStorage[Any]("redis://localhost", answer_within_ms=limit)


async def test_the_url_of_a_socket_and_a_database(own_redis_server: Callable[..., RedisServer]) -> None:
    server = own_redis_server(arguments=("--unixsocket", "redis.sock"))
    url = f"unix://{server.folder}/redis.sock?db=3"
    async with RedisStorage[Any](url, answer_within_ms=PATIENT_MS) as storage:
        await storage.set("key", 1)

    with server.client() as client:
        assert {"db3"} == set(client.info("keyspace"))


async def test_a_server_that_is_not_there_is_named(tmp_path: Any) -> None:
    path = os.fspath(tmp_path / "nobody.sock")
    async with RedisStorage[Any](f"unix://{path}", answer_within_ms=PATIENT_MS) as storage:
        with pytest.raises(StoreError, match=f"Redis at {path}: "):
            await storage.get("key")
