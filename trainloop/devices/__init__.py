"""Which devices and workers there are, and how they agree.

Enters: a strategy's name, the environment of a cluster. Leaves: a
`tf.distribute.Strategy`, sums over its replicas, what all workers know alike,
and an error that names the worker that is lost.

May import: base, kernels.
"""
