"""A fit on the host, from its arguments to its history.

Enters: a trained thing with its programs, data, a schedule, options and the
workdir. Leaves: a `History`. Here windows are cut and run one ahead, an epoch
ends, the judge is asked, a checkpoint falls due, and users' code is told.

May import: compiled, workdir and below; never sweep.
"""
