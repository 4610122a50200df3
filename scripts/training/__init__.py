"""The parts of train.py: data sets, models, its job, what it exports.

Enters: checked flags. Leaves: a trained model, its exports, an exit code.

May import: cli, kernels, trainloop.
"""
