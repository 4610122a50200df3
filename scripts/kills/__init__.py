"""The parts of chaos.py: runs that are killed at a named point.

Enters: points, and the flags of a run. Leaves: whether the run that went on
equals the one that was not killed.

May import: cli, training, kernels, trainloop.
"""
