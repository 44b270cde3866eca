"""What goes around any storage: migrations, compression, a size limit, statistics, lifetimes that slide.

Encryption is in `eliza_state.storage.wrappers.encryption`, for it needs an extra.
"""

from eliza_state.storage.wrappers.compression import Compression
from eliza_state.storage.wrappers.enhanced import Migrated, enhance_storage, migrate
from eliza_state.storage.wrappers.limit import SizeLimit
from eliza_state.storage.wrappers.measured import MeasuredStorage, Statistics, Traffic, measured
from eliza_state.storage.wrappers.sliding import sliding

__all__ = [
    "Compression",
    "MeasuredStorage",
    "Migrated",
    "SizeLimit",
    "Statistics",
    "Traffic",
    "enhance_storage",
    "measured",
    "migrate",
    "sliding",
]
