"""Early stopping, plateau and the best weights: decided in graph.

Enters: options, and the values of each validation. Leaves: whether to stop and
why, the factor on the learning rate, the weights to put back. What decides is
in variables that a checkpoint holds.

May import: base, kernels.
"""
