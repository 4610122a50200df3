"""The disk: all that a run leaves in its workdir, and reads from there.

Enters: rows, results, the state to save, the identity of a fit. Leaves: the
journal of rows, the log of fits, checkpoints (checkpoints/), what TensorBoard
shows (tensorboard/); and after a kill the run as it was. Files are made, cut
and removed in `run_files` alone.

May import: model and below; never compiled: they meet in fit.
"""
