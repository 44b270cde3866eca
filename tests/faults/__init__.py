"""Real processes on real stores, killed and cut off at random, and what must hold whatever happened.

`docs/faults.md` tells what is tested. `python -m tests.faults` runs it for long, `test_faults.py` for short.
"""
