"""What TensorBoard shows: every update's row, and a run's pages.

Enters: rows, scalars and texts, with their steps. Leaves: event files that
TensorBoard reads, cut to a size and proven by their CRC on resume; and the
scalars read back.

May import: as workdir, of which it is a part.
"""
