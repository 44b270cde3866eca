"""A cluster of Redis servers: who keeps which slot, and what happens when that changes.

See https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError, TryAgainError

from eliza_state.errors import StoreError
from eliza_state.storage.redis.pool import Command, Pool, Unanswered, Unsent
from eliza_state.storage.redis.servers import Servers

Address: TypeAlias = tuple[str, int]
"""A host and its port."""

_SLOTS: Final = 16_384
_REDIRECTIONS: Final = 5
_TRY_AGAIN_S: Final = 0.01
_TO_REPEAT: Final = object()


class Cluster(Servers):
    """The primaries of a cluster, found from any of the given addresses.

    `connect` makes the connections to one node. `remap` turns the address that a node gives of another
    into the one to connect to. While a node does not answer in time, the next one is asked where names
    are; each has `node_limit_s` for that.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        connect: Callable[[Address], Pool],
        node_limit_s: float,
        remap: Callable[[str, int], Address] | None = None,
    ) -> None:
        self._given = tuple(addresses)
        self._connect = connect
        self._node_limit_s = node_limit_s
        self._remap = remap
        self._pools: dict[Address, Pool] = {}
        self._keepers: list[Address | None] = [None] * _SLOTS
        self._is_stale = True
        self._finding = asyncio.Lock()

    def _pool(self, address: Address) -> Pool:
        if address not in self._pools:
            self._pools[address] = self._connect(address)
        return self._pools[address]

    def distrust(self) -> None:
        self._is_stale = True

    def groups(self, names: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        groups: defaultdict[int, list[bytes]] = defaultdict(list)
        for name in names:
            groups[key_slot(name)].append(name)
        return list(groups.values())

    async def pools(self, name: bytes | None = None) -> Sequence[Pool]:
        await self._find()
        if name is not None:
            return (self._pool(self._keeper(key_slot(name))),)
        return [self._pool(address) for address in dict.fromkeys(self._keepers) if address is not None]

    def _keeper(self, slot: int) -> Address:
        address = self._keepers[slot]
        if address is None:
            self.distrust()
            raise StoreError(f"the Redis cluster does not serve slot {slot}; see CLUSTER INFO")
        return address

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()

    # asking

    async def run(self, names: Sequence[bytes], commands: Sequence[Command], *, until_s: float) -> list[Any]:
        answers: list[Any] = [_TO_REPEAT] * len(commands)
        open_ = list(range(len(commands)))
        problem = "the nodes of the Redis cluster send each other's way; see CLUSTER INFO"
        for _ in range(_REDIRECTIONS):
            try:
                async with asyncio.timeout_at(until_s):
                    await self._find()
                groups = self._by_address(names, open_)
            except (StoreError, TimeoutError) as error:
                problem = str(error) or "no node of the Redis cluster answered in time"
                break
            async with asyncio.TaskGroup() as tasks:
                for address, group in groups.items():
                    tasks.create_task(self._run_at(address, group, commands, answers, until_s=until_s))
            open_ = [at for at in open_ if answers[at] is _TO_REPEAT]
            if not open_:
                return answers
        for at in open_:
            answers[at] = Unsent(problem)
        return answers

    def _by_address(self, names: Sequence[bytes], open_: Sequence[int]) -> dict[Address, list[int]]:
        groups: defaultdict[Address, list[int]] = defaultdict(list)
        for at in open_:
            groups[self._keeper(key_slot(names[at]))].append(at)
        return groups

    async def _run_at(
        self,
        address: Address,
        group: Sequence[int],
        commands: Sequence[Command],
        answers: list[Any],
        *,
        until_s: float,
    ) -> None:
        found = await self._pool(address).exchange([commands[at] for at in group], until_s=until_s)
        for at, answer in zip(group, found, strict=True):
            answers[at] = answer
            if isinstance(answer, ResponseError):
                answers[at] = await self._redirected(answer, address, commands[at], until_s=until_s)
            elif isinstance(answer, Unsent | Unanswered):
                self.distrust()

    async def _redirected(
        self, error: ResponseError, asked: Address, command: Command, *, until_s: float
    ) -> Any:
        """Return what becomes of a refused command: the refusal itself unless another node is to be asked."""
        code, *rest = _coded(error).split(" ")
        if code == "CLUSTERDOWN":
            self.distrust()
        if code == "TRYAGAIN":  # some of the keys have moved already
            await asyncio.sleep(_TRY_AGAIN_S)
            return _TO_REPEAT
        if code not in ("MOVED", "ASK"):
            return error
        slot, to = rest[:2]
        host, _, port = to.rpartition(":")
        address = self._remapped(host or asked[0], int(port))
        if code == "MOVED":
            self._keepers[int(slot)] = address
            return _TO_REPEAT
        answers = await self._pool(address).exchange([("ASKING",), command], until_s=until_s)
        return answers[1]

    def _remapped(self, host: str, port: int) -> Address:
        return (host, port) if self._remap is None else self._remap(host, port)

    # finding

    async def _find(self) -> None:
        """Learn who keeps which slot, unless that is known."""
        if not self._is_stale:
            return
        async with self._finding:
            if not self._is_stale:
                return
            known = list({*filter(None, self._keepers), *self._given})
            random.shuffle(known)
            answer: Any = None
            for address in known:
                until_s = asyncio.get_running_loop().time() + self._node_limit_s
                (answer,) = await self._pool(address).exchange([("CLUSTER", "SLOTS")], until_s=until_s)
                if isinstance(answer, list):
                    self._keepers = self._keepers_in(answer, asked=address)
                    self._is_stale = False
                    return
            raise StoreError(
                f"no node of the Redis cluster says who keeps what; the last one asked: {answer}"
            )

    def _keepers_in(self, ranges: Sequence[Any], *, asked: Address) -> list[Address | None]:
        keepers: list[Address | None] = [None] * _SLOTS
        for first, last, (host, port, *_), *_replicas in ranges:
            address = self._remapped(host.decode() if host else asked[0], int(port))
            keepers[first : last + 1] = [address] * (last + 1 - first)
        return keepers


def _coded(error: ResponseError) -> str:
    """Return the text of a refusal with its code, which newer versions of redis-py take off."""
    codes: dict[type[ResponseError], str] = {
        MovedError: "MOVED",
        AskError: "ASK",
        TryAgainError: "TRYAGAIN",
        ClusterDownError: "CLUSTERDOWN",
    }
    code = codes.get(type(error))
    return str(error) if code is None else f"{code} {error}"
