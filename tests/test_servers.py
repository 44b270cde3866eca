"""The servers that tests start: they answer, are killed, keep what they should, leave nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import create_engine, make_url, text

from tests.servers import (
    PostgresServer,
    RedisCluster,
    RedisServer,
    SentinelGroup,
    StartFailed,
    Unavailable,
    obtain,
    postgres_programs,
    redis_database,
    redis_programs,
    runs,
    until,
)

pytestmark = pytest.mark.once

StartRedis = Callable[..., RedisServer]
StartPostgres = Callable[..., PostgresServer]


def answer(url: str, sql: str) -> object:
    """Ask PostgreSQL for one value."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(sql)).scalar()
    finally:
        engine.dispose()


def execute(url: str, *statements: str) -> None:
    """Have PostgreSQL execute and commit."""
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string()) as connection:
        for statement in statements:
            connection.execute(statement)


def test_the_fixtures_that_come_with_a_server_stay_out(pytestconfig: pytest.Config) -> None:
    assert not pytestconfig.pluginmanager.has_plugin("valkey")


@pytest.mark.parametrize("program", redis_programs() or [None])
def test_a_redis_server_of_each_program_answers_and_ends(
    own_redis_server: StartRedis, program: Path | None
) -> None:
    server = own_redis_server(program=program)
    pid, folder = server.pid, server.folder
    with server.client() as client:
        assert client.ping()

    server.stop()

    assert not server.running
    assert not runs(pid)
    assert folder.exists()
    server.close()
    assert not folder.exists()


@pytest.mark.parametrize("program", postgres_programs() or [None])
def test_a_postgres_server_of_each_program_answers_and_ends(
    own_postgres_server: StartPostgres, program: Path | None
) -> None:
    server = own_postgres_server(program=program)
    pid = server.pid

    assert answer(server.url, "select 6 * 7") == 42
    server.stop()
    assert not server.running
    assert not runs(pid)


def test_what_a_killed_redis_appended_to_its_file_is_there_again(own_redis_server: StartRedis) -> None:
    server = own_redis_server(arguments=("--appendonly", "yes"))
    before = server.pid, server.url
    with server.client() as client:
        client.set("tea", "green")

    server.kill()
    server.start()

    with server.client() as client:
        assert client.get("tea") == "green"
        client.set("tea", "black")
    server.restart()
    with server.client() as client:
        assert client.get("tea") == "black"
    assert before[0] != server.pid
    assert before[1] == server.url


def test_a_redis_without_a_file_forgets(own_redis_server: StartRedis) -> None:
    server = own_redis_server()
    with server.client() as client:
        client.set("tea", "green")

    server.restart()

    with server.client() as client:
        assert client.dbsize() == 0


def test_a_paused_redis_is_silent_until_it_is_resumed(own_redis_server: StartRedis) -> None:
    server = own_redis_server()

    server.pause()

    with server.client(socket_timeout=0.05) as client, pytest.raises(redis.TimeoutError):
        client.ping()
    server.resume()
    with server.client() as client:
        assert client.ping()


def test_a_paused_redis_can_be_stopped(own_redis_server: StartRedis) -> None:
    server = own_redis_server()
    pid = server.pid
    server.pause()

    server.stop()

    assert not runs(pid)


def test_a_redis_is_configured_by_arguments_and_while_it_runs(own_redis_server: StartRedis) -> None:
    server = own_redis_server(arguments=("--maxmemory", "2mb"))

    server.configure(maxmemory_policy="allkeys-lru")

    with server.client() as client:
        found = client.config_get("maxmemory*")
    assert found["maxmemory"] == "2097152"
    assert found["maxmemory-policy"] == "allkeys-lru"


def test_a_server_that_does_not_start_says_why(own_redis_server: StartRedis) -> None:
    with pytest.raises(StartFailed, match="no-such-setting"):
        own_redis_server(arguments=("--no-such-setting", "1"))


@pytest.mark.parametrize("time", [1, 2])
def test_a_redis_url_is_that_of_an_empty_database(redis_url: str, time: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("time", time)


@pytest.mark.parametrize("time", [1, 2])
def test_a_shared_redis_is_empty(redis_server: RedisServer, time: int) -> None:
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("time", time)


@pytest.mark.parametrize("time", [1, 2])
def test_a_postgres_url_is_that_of_an_empty_database(postgres_url: str, time: int) -> None:
    tables = "select count(*) from information_schema.tables where table_schema = 'public'"

    assert answer(postgres_url, tables) == 0
    execute(postgres_url, f"create table time as select {time}")
    assert answer(postgres_url, tables) == 1


def test_a_given_redis_is_used_database_by_database(own_redis_server: StartRedis) -> None:
    given = own_redis_server()

    with redis_database(given.url, number=3) as url, redis.Redis.from_url(url) as client:
        client.set("tea", "green")
        with given.client() as other:
            assert other.info("keyspace").keys() == {"db3"}
    with given.client() as other:
        assert other.info("keyspace") == {}


def test_a_given_redis_with_something_in_it_is_left_alone(own_redis_server: StartRedis) -> None:
    given = own_redis_server()
    with given.client() as client:
        client.set("somebody's", "tea")

        with pytest.raises(pytest.fail.Exception, match="empty"), redis_database(given.url, number=0):
            pass

        assert client.get("somebody's") == "tea"


def test_what_a_killed_postgres_committed_is_there_again(own_postgres_server: StartPostgres) -> None:
    server = own_postgres_server()
    with server.database() as url:
        execute(url, "create table tea as select 'green' as kind")

        server.kill()
        server.start()
        assert answer(url, "select kind from tea") == "green"
        execute(url, "update tea set kind = 'black'")

        server.restart()
        assert answer(url, "select kind from tea") == "black"


def test_a_killed_postgres_tells_its_clients_nothing(own_postgres_server: StartPostgres) -> None:
    server = own_postgres_server()
    plain = make_url(server.url).set(drivername="postgresql").render_as_string()

    with psycopg.connect(plain) as connection:
        server.kill()
        with pytest.raises(psycopg.OperationalError) as raised:
            connection.execute("select 1")

    assert raised.value.sqlstate is None
    assert not server.running


def test_databases_are_apart_and_dropped_with_their_connections(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as one, postgres_server.database() as other:
        engine = create_engine(one)
        left_open = engine.connect()
        execute(one, "create table tea ()")
        assert answer(other, "select to_regclass('tea')") is None
    names = "select count(*) from pg_database where datname = '{}'"

    assert answer(postgres_server.url, names.format(make_url(one).database)) == 0
    left_open.invalidate()
    engine.dispose()


def test_sentinels_tell_who_is_primary_after_a_failover(sentinel_group: SentinelGroup) -> None:
    assert sentinel_group.primary_address() == sentinel_group.primary.address
    told = redis.Sentinel(sentinel_group.addresses, socket_timeout=5)

    sentinel_group.failover()

    assert told.discover_master(sentinel_group.name) == sentinel_group.replica.address
    with told.master_for(sentinel_group.name) as client:
        assert client.set("tea", "green")
    for one in told.sentinels:
        one.close()


def test_a_cluster_answers_for_keys_on_all_its_nodes(redis_cluster: RedisCluster) -> None:
    with redis_cluster.client() as client:
        for number in range(32):
            client.set(f"key {number}", number)
        found = [client.get(f"key {number}") for number in range(32)]

    counts = []
    for node in redis_cluster.nodes:
        with node.client() as client:
            counts.append(client.dbsize())
    assert [str(number) for number in range(32)] == found
    assert sum(counts) == 32
    assert all(counts)


# What a session of tests does that somebody kills.
ABANDON = """
import json, os, signal
from tests.servers import PostgresServer, RedisServer

cache, database = RedisServer().start(), PostgresServer().start()
paused = RedisServer().start()
paused.pause()
started = [cache, database, paused]
print(json.dumps([[one.pid for one in started], [str(one.folder) for one in started]]), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_servers_end_with_the_process_that_started_them_even_if_that_is_killed(
    own_redis_server: StartRedis, own_postgres_server: StartPostgres
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ABANDON],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -9, done.stderr
    pids, folders = json.loads(done.stdout)

    until(lambda: not any(map(runs, pids)))
    until(lambda: not any(map(os.path.exists, folders)))


def no_program() -> None:
    raise Unavailable("no such server: install one")


def test_a_test_skips_without_its_server_and_says_what_to_install() -> None:
    with pytest.raises(pytest.skip.Exception, match="install one"):
        obtain(no_program, required=False)


def test_a_test_fails_without_its_server_where_servers_are_required() -> None:
    with pytest.raises(pytest.fail.Exception, match="install one"):
        obtain(no_program, required=True)
