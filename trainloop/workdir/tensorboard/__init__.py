"""workdir/tensorboard"""
