"""What every `Storage` promises."""

from __future__ import annotations

from eliza_state.testing.storages.cancelling import CancellationContract
from eliza_state.testing.storages.deadlines import DeadlineContract
from eliza_state.testing.storages.keys import KeyContract
from eliza_state.testing.storages.lifetimes import LifetimeContract
from eliza_state.testing.storages.many import ManyContract
from eliza_state.testing.storages.model import ModelContract
from eliza_state.testing.storages.namespaces import NamespaceContract
from eliza_state.testing.storages.plain import KVStorageContract
from eliza_state.testing.storages.values import ValueContract
from eliza_state.testing.storages.versions import VersionContract


class StorageContract(
    ValueContract,
    DeadlineContract,
    VersionContract,
    ManyContract,
    NamespaceContract,
    KeyContract,
    LifetimeContract,
    CancellationContract,
    ModelContract,
    KVStorageContract,
):
    """Hold a storage against the whole face of `eliza_state.storage.Storage`.

    Inherit and give a fixture `storage`: an open storage (no namespace of one), closed in the end, which
    takes its time from the fixture `clock`. Each test uses a new namespace of it. Where the data outlives
    the storage, override `reopen`. Flags say what is different: `takes_clock` is false for a storage whose
    time is real, `is_shared` true where others use the same backend at the same time, `opens_twice` where
    several processes may, `shares_values` where values of any class are handed out as they are.
    """
