"""What is trained, and what is asked of it before the first update.

Enters: a Keras model, optimizer, loss and metrics, as a user has them. Leaves:
the objective, an optimizer that takes scheduled tensors, the state that a
checkpoint holds, the columns of a row; and one line for what can't be trained.

May import: base, data, devices, judging, display, kernels.
"""
