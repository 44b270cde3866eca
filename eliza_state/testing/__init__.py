"""For the tests of modules, and of what is built on a store: no store, no waiting, no mocks.

>>> driver = TreeDriver(CountModule())
>>> changes = driver.send("agent:eliza/room:general", MessageReceived(id="m1", user="ada", text="hello"))
>>> driver.state(CountModule, of="agent:eliza/room:general")
Count(value=1)

`TreeDriver` unit-tests modules: given these events, this state. `ManualClock` is a clock that a test turns,
`RecordingReceiver` a receiver that remembers what it was told. A whole manager in memory is
`StateManager.open("memory://", modules=…, clock=ManualClock())`. `check_upcast` and `check_migrations` tell
whether what older code has stored arrives at what today's makes of it.

For storages of one's own: `FaultProxy` is a network that loses, delays and breaks, `CrashFiles` tells what a
power cut may leave of files (each a `CrashState`), and in `FailingFiles` one operation fails.
"""

from eliza_state.testing.clocks import START, ManualClock
from eliza_state.testing.crashes import CrashFiles, CrashState, FailingFiles
from eliza_state.testing.driver import Facts, TreeDriver, fold
from eliza_state.testing.migrations import check_migrations, check_upcast
from eliza_state.testing.proxy import FaultProxy
from eliza_state.testing.receivers import RecordingReceiver

__all__ = [
    "START",
    "CrashFiles",
    "CrashState",
    "Facts",
    "FailingFiles",
    "FaultProxy",
    "ManualClock",
    "RecordingReceiver",
    "TreeDriver",
    "check_migrations",
    "check_upcast",
    "fold",
]
