"""Python programs in processes of their own that begin at once: forked from one that has imported everything.

What a process imports takes more of the processor than what most tests have it do. Where `fork` is not what
the system is good at, the processes are started as usual. `process` has what tests use.
"""
