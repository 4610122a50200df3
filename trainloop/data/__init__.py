"""Where batches come from: arrays, datasets, files shared among workers.

Enters: a user's arrays, `tf.data.Dataset` or files. Leaves: a source, which
says what its batches are, what makes it the same data again, and what a window
is fed with, in the order that seed and epoch fix.

May import: base, kernels.
"""
