"""A checkpoint on the disk: named tensors, written whole or not at all.

Enters: tensors and their names, and what the log says of them. Leaves: the same
tensors after a restart, or a line that says what is damaged. Data is renamed
before its index, so a checkpoint that has an index is whole.

May import: as workdir, of which it is a part.
"""
