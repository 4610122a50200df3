"""The graph: n updates in one compiled call, and a validation in one.

Enters: what is trained, and the batches of a window. Leaves: the rows of its
updates, and the state moved on. The engine that compiles is chosen here.

May import: model and below; never workdir: they meet in fit.
"""
