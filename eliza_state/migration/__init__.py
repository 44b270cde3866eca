"""What today's code makes of a store that older code has filled: its records, and its snapshots.

>>> async with StateManager.open(url, modules=modules, read_only=True) as manager:
...     report = await examine(manager)
>>> report.is_good
True
"""

from eliza_state.migration.examination import Progress, examine
from eliza_state.migration.report import EventFigures, Failure, Fault, MigrationReport, SliceFigures

__all__ = ["EventFigures", "Failure", "Fault", "MigrationReport", "Progress", "SliceFigures", "examine"]
