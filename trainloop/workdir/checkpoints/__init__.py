"""workdir/checkpoints"""
