"""What an update costs, here and elsewhere: measured, and how.

Enters: modes and models by name. Leaves: medians with intervals, as a table and
as JSON. README.md holds what was measured.

May import: cli, training, kernels, trainloop.
"""
