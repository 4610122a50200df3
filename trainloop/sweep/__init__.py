"""The learning-rate range sweep, and what it suggests.

Enters: a loop, its data, a range of rates. Leaves: a `Sweep`, with curve and
suggestions; the loop is as it was before.

May import: compiled, workdir and below; never fit.
"""
