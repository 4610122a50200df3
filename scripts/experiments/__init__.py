"""Published results, run again: the article's figure beside the measured one.

Enters: an experiment's name. Leaves: its report.

May import: cli, training, kernels, trainloop.
"""
