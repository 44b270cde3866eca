"""From a URL, or a client of redis-py, to the servers that a storage talks to.

`redis://user:password@host:6379/0`, `rediss://…` (TLS), `unix:///run/redis.sock?db=0`,
`redis+sentinel://host:26379,host:26379/service/0`, `redis+cluster://host:6379,host:6379`, the last two with
`rediss` as well. Options in the query are redis-py's; the sentinels' own credentials are
`sentinel_username` and `sentinel_password` there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from eliza_state.storage.redis.cluster import Address, Cluster
from eliza_state.storage.redis.pool import MAX_CONNECTIONS, Pool
from eliza_state.storage.redis.servers import OneServer, Servers

Opener: TypeAlias = Callable[[], Servers]
"""Makes what talks to the servers from one event loop; connects when it is asked something."""

_SENTINEL_PORT: Final = 26_379
_CLUSTER_PORT: Final = 6_379
# A sentinel or a node that does not answer must leave time to ask another one.
_ASK_ANOTHER: Final = 0.3
_SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
_FORMS: Final = (
    "redis://host:port/db, rediss://…, unix://path, redis+sentinel://host:port,…/service/db or"
    " redis+cluster://host:port,…"
)


def opener(source: str | Redis | RedisCluster, *, limit_s: float) -> Opener:
    """Return how to reach the servers that a URL names, or that an application's client talks to.

    A client lends its connections, or as one of a cluster its settings, and stays its owner's to close.
    Raises `ValueError` for a URL of another form, without repeating what may be a password, and `TypeError`
    for anything else.
    """
    if isinstance(source, RedisCluster):
        return _lent_cluster(source, limit_s=limit_s)
    if isinstance(source, Redis):
        pool = source.connection_pool
        return lambda: OneServer(Pool(pool, where=_where(pool.connection_kwargs), owned=False))
    if not isinstance(source, str):
        raise TypeError(f"expected a URL or a client of redis.asyncio, got {type(source).__name__}")
    scheme, separator, rest = source.partition("://")
    kind = _KINDS.get(scheme.lower())
    if kind is None or not separator:
        raise ValueError(f"expected a URL such as {_FORMS}, got one that begins {scheme[:20]!r}")
    return kind(scheme.lower(), rest, limit_s=limit_s)


def _where(options: Mapping[str, Any]) -> str:
    if "path" in options:
        return f"Redis at {options['path']}"
    return f"Redis at {options.get('host', 'localhost')}:{options.get('port', 6379)}"


def _options(url: str, *, limit_s: float) -> dict[str, Any]:
    """Return how redis-py is to connect. What the URL says wins, but nothing makes it send anything twice."""
    try:
        said = dict(parse_url(url))
    except ValueError:
        # Not the cause: its text may quote a part of a password.
        raise ValueError(
            f"expected a URL such as {_FORMS}, with a number as port, options that redis-py knows, and what"
            " is special in user and password percent-encoded"
        ) from None
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "protocol": 2,
        # The time limit is set around whole exchanges, which costs less than one around each step.
        "socket_timeout": None,
        "socket_connect_timeout": limit_s,
        **said,
        "retry": Retry(NoBackoff(), 0),
    }
    _check({name: value for name, value in options.items() if name not in _SENTINEL_OPTIONS})
    return options


def _check(options: dict[str, Any]) -> None:
    pool: Any = ConnectionPool(**options)
    try:
        pool.make_connection()
    except TypeError:
        raise ValueError(
            f"expected options that redis-py knows in the URL's query, got {sorted(options)!r}"
        ) from None


def _single(scheme: str, rest: str, *, limit_s: float) -> Opener:
    options = _options(f"{scheme}://{rest}", limit_s=limit_s)
    path = _hosts(rest)[2].partition("?")[0].strip("/")
    if scheme != "unix" and path and not path.isdecimal():
        raise ValueError(f"expected a URL such as {_FORMS}, with a number as database")
    return lambda: OneServer(Pool(ConnectionPool(**options), where=_where(options)))


def _hosts(rest: str) -> tuple[str, list[str], str]:
    """Return user and password, the hosts with their ports, and what follows them."""
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    user, at, hosts = rest[:end].rpartition("@")
    return user + at, hosts.split(","), rest[end:]


def _several(
    scheme: str, rest: str, *, port: int, limit_s: float
) -> tuple[list[Address], dict[str, Any], str]:
    """Return the addresses, the options that they share without an address, and the path."""
    base = scheme.partition("+")[0]
    user, hosts, tail = _hosts(rest)
    path, question, query = tail.partition("?")
    each = [_options(f"{base}://{user}{host}{question}{query}", limit_s=limit_s) for host in hosts]
    if not all(options.get("host") for options in each):
        raise ValueError(f"expected a URL such as {_FORMS}, got one without a host")
    addresses = [(options.pop("host"), options.pop("port", port)) for options in each]
    return addresses, each[0], path.strip("/")


def _sentinel(scheme: str, rest: str, *, limit_s: float) -> Opener:
    addresses, options, path = _several(scheme, rest, port=_SENTINEL_PORT, limit_s=limit_s)
    service, _, db = path.partition("/")
    if not service or (db and not db.isdecimal()):
        raise ValueError(f"expected the service that the sentinels watch, and a number as database: {_FORMS}")
    options["db"] = int(db or options.get("db", 0))
    options["ssl"] = options.pop("connection_class", None) is SSLConnection
    theirs = {name.removeprefix("sentinel_"): options.pop(name, None) for name in _SENTINEL_OPTIONS}
    theirs |= {name: value for name, value in options.items() if name.startswith("ssl")}
    for name in ("socket_timeout", "socket_connect_timeout"):
        theirs[name] = limit_s * _ASK_ANOTHER
    theirs |= {"retry": options["retry"], "protocol": options["protocol"]}

    def make() -> Servers:
        # redis-py leaves these two without types
        sentinel = Sentinel(addresses, sentinel_kwargs=theirs)  # type: ignore[no-untyped-call]
        pool = SentinelConnectionPool(service, sentinel, **options)  # type: ignore[no-untyped-call]
        return OneServer(Pool(pool, where=f"Redis {service!r} under sentinels"), sentinel=sentinel)

    return make


def _cluster(scheme: str, rest: str, *, limit_s: float) -> Opener:
    addresses, options, path = _several(scheme, rest, port=_CLUSTER_PORT, limit_s=limit_s)
    if path not in ("", "0") or options.get("db"):
        raise ValueError("a Redis cluster has one database only: leave it out of the URL")
    return _nodes(addresses, options, limit_s=limit_s)


def _lent_cluster(client: RedisCluster, *, limit_s: float) -> Opener:
    nodes = client.nodes_manager
    addresses = [(node.host, int(node.port)) for node in nodes.startup_nodes.values()]
    options = {
        **client.get_connection_kwargs(),
        "socket_timeout": None,
        "socket_connect_timeout": limit_s,
        "retry": Retry(NoBackoff(), 0),
    }
    options.pop("response_callbacks", None)
    return _nodes(addresses, options, limit_s=limit_s, remap=nodes.remap_host_port)


def _nodes(
    addresses: list[Address],
    options: Mapping[str, Any],
    *,
    limit_s: float,
    remap: Callable[[str, int], Address] | None = None,
) -> Opener:
    def connect(address: Address) -> Pool:
        host, port = address
        named: dict[str, Any] = {**options, "host": host, "port": port}
        return Pool(ConnectionPool(**named), where=_where(named))

    return lambda: Cluster(addresses, connect=connect, node_limit_s=limit_s * _ASK_ANOTHER, remap=remap)


_KINDS: Final[dict[str, Callable[..., Opener]]] = {
    "redis": _single,
    "rediss": _single,
    "unix": _single,
    "redis+sentinel": _sentinel,
    "rediss+sentinel": _sentinel,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
}
