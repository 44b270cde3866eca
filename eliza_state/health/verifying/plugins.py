"""The values of plugins: whether each can be read to its last tag."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from sqlalchemy import URL

from eliza_state.errors import StoreError
from eliza_state.health.verifying.files import PLUGINS as SUFFIX
from eliza_state.health.verifying.finding import Finding
from eliza_state.health.verifying.subject import Subject, name_of
from eliza_state.loop_thread import LoopThread
from eliza_state.plugins import Plugins
from eliza_state.storage.walking import walk

PLUGINS: Final = "plugins"

_LOST: Final = "the value is lost: only its plugin can make it anew"


def check_plugins(subject: Subject) -> Iterator[Finding]:
    """Read all values in the file beside the database; plugins with storages elsewhere look after those."""
    file = "" if subject.database is None else subject.database + SUFFIX
    if file and os.path.exists(file):
        thread = LoopThread("eliza-state-verification")
        try:
            yield from thread.run(_read(subject, file))
        finally:
            thread.close()


async def _read(subject: Subject, file: str) -> list[Finding]:
    found: list[Finding] = []
    done = 0
    try:
        plugins = Plugins.in_database(URL.create("sqlite", database=file), read_only=True)
    except StoreError as error:
        return [Finding(check=PLUGINS, message=str(error), file=name_of(file), loss=_LOST)]
    async with plugins:
        async for entries, damaged in walk(plugins.storages()[""].backend, ""):
            for one in damaged:
                message = f"the value of {one.key!r} is damaged"
                found.append(Finding(check=PLUGINS, message=message, file=name_of(file), loss=_LOST))
            done += len(entries)
            subject.count(PLUGINS, done)
    return found
