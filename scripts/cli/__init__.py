"""Flags: their definition, their checks, and options made from them.

Enters: the command line. Leaves: one clear line where a flag is wrong, else
arguments for `kernels` and `trainloop`. The one folder that a copied example
takes along. Neither package is imported before the flags are checked.

May import: absl; of scripts/ only itself.
"""
