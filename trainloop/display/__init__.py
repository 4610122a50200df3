"""What a user sees of a run outside TensorBoard: terminal lines, pictures.

Enters: numbers and curves. Leaves: text through `base.output`, figures. Nothing
here decides anything of a run.

May import: base, kernels.
"""
