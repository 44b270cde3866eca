"""Contract suites for storages: pytest classes that the tests of a storage inherit.

They say what `KVStorage` and `Storage` promise, one behaviour a test, and need pytest, pytest-asyncio and
hypothesis. Tests of a storage of your own read::

    class TestMyStorage(StorageContract):
        @pytest.fixture
        async def storage(self, clock: ManualClock) -> AsyncIterator[MyStorage[Any]]:
            async with MyStorage(clock=clock) as storage:
                yield storage

With pytest-asyncio in strict mode the fixture is a `pytest_asyncio.fixture`; the tests are marked already.
"""

import pytest

# Before the imports: without it a failed assertion would not show what it compared.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in (
            "backends", "cancelling", "deadlines", "keys", "lifetimes", "many",
            "model", "namespaces", "plain", "suite", "values", "versions",
        )
    )
)  # fmt: skip

from eliza_state.testing.storages.backends import BackendContract  # noqa: E402
from eliza_state.testing.storages.plain import KVStorageContract  # noqa: E402
from eliza_state.testing.storages.suite import StorageContract  # noqa: E402

__all__ = ["BackendContract", "KVStorageContract", "StorageContract"]
