"""Servers for tests that ask for them, and how hypothesis runs.

To tests that do not ask for servers they cost nothing, not even an import.

`redis_url` and `postgres_url` are for tests that only talk to a server: it is the one that the environment
names in ELIZA_STATE_TEST_REDIS_URL or ELIZA_STATE_TEST_POSTGRES_URL, else one of this process's own. All
other fixtures are for tests that reach behind the server. They need one of their own, and skip where the
environment names one, unless CI or ELIZA_STATE_TEST_REQUIRE_SERVERS says that no such test may be skipped.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.effort import examples, is_file_in_sample, is_in_sample, thinned
from tests.places import in_memory

if TYPE_CHECKING:
    from tests.servers import Administrator, PostgresServer, RedisCluster, RedisServer, SentinelGroup

settings.register_profile(
    "eliza_state",
    deadline=None,
    max_examples=examples(100),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("eliza_state")


def pytest_configure() -> None:
    """Keep temporary files in memory, those of the processes that tests start as well."""
    memory = in_memory()
    if memory is not None and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = tempfile.tempdir = str(memory)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Do not even import files that are not in the sample."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if is_test and not is_file_in_sample(collection_path.name) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the sample, and what is too much for a usual run."""
    chosen = thinned([item for item in items if is_in_sample(item.nodeid)])
    if len(chosen) < len(items):
        names = {item.nodeid for item in chosen}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in names])
        items[:] = chosen


def _own(make: Callable[..., Any], *, instead_of: str | None, **options: Any) -> Any:
    """Make a server of the tests' own, or end the test."""
    from tests import servers

    if instead_of and not servers.REQUIRED:
        pytest.skip("needs a server of its own, and the environment names another to test with")
    return servers.obtain(lambda: make(**options))


@pytest.fixture(scope="session")
def shared_redis_server() -> Iterator[RedisServer]:
    from tests import servers

    with _own(servers.RedisServer, instead_of=servers.REDIS_URL) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis_server: RedisServer) -> RedisServer:
    """An empty Redis that other tests use after this one: leave it running, and configured as it was."""
    shared_redis_server.flush()
    return shared_redis_server


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty Redis database."""
    from tests import servers

    if servers.REDIS_URL is None:
        yield request.getfixturevalue("redis_server").url
        return
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    with servers.redis_database(servers.REDIS_URL, number=int(worker.removeprefix("gw"))) as url:
        yield url


@pytest.fixture
def own_redis_server() -> Iterator[Callable[..., RedisServer]]:
    """Start Redis servers, with the options of `RedisServer`, that the test may stop, kill and configure."""
    from tests import servers

    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> RedisServer:
            return stack.enter_context(_own(servers.RedisServer, instead_of=servers.REDIS_URL, **options))

        yield start


@pytest.fixture
def sentinel_group() -> Iterator[SentinelGroup]:
    """A primary, a replica and a sentinel that the test may stop and kill."""
    from tests import servers

    with _own(servers.SentinelGroup, instead_of=servers.REDIS_URL) as group:
        yield group


@pytest.fixture(scope="session")
def shared_redis_cluster() -> Iterator[RedisCluster]:
    from tests import servers

    with _own(servers.RedisCluster, instead_of=servers.REDIS_URL) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster(shared_redis_cluster: RedisCluster) -> RedisCluster:
    """An empty cluster that other tests use after this one: leave its nodes running."""
    shared_redis_cluster.flush()
    return shared_redis_cluster


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that other tests use as well: leave it running, and make databases to work in."""
    from tests import servers

    with _own(servers.PostgresServer, instead_of=servers.POSTGRES_URL) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_administrator(request: pytest.FixtureRequest) -> Iterator[Administrator]:
    """Who makes databases on the server that tests share."""
    from tests import servers

    url = servers.POSTGRES_URL or request.getfixturevalue("postgres_server").url
    with servers.Administrator(url) as administrator:
        yield administrator


@pytest.fixture
def postgres_url(postgres_administrator: Administrator) -> Iterator[str]:
    """A PostgreSQL database in which there is nothing yet, for SQLAlchemy with psycopg."""
    url = postgres_administrator.create()
    yield url
    postgres_administrator.drop(url)


@pytest.fixture
def own_postgres_server() -> Iterator[Callable[..., PostgresServer]]:
    """Start PostgreSQL servers, with the options of `PostgresServer`, that the test may stop and kill."""
    from tests import servers

    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> PostgresServer:
            made = _own(servers.PostgresServer, instead_of=servers.POSTGRES_URL, **options)
            return stack.enter_context(made)

        yield start
