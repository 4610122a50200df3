"""A fit on the host, from its arguments to its history.

Enters: a `Trainee` with its compiled programs, data, a schedule, options and
the workdir. Leaves: a `History`. Here a fit is cut into windows, and the next
one is prepared while one runs; between windows validations are judged, epochs
end, checkpoints are saved and the user's callables are called.

May import: compiled, workdir and below; never sweep.
"""
