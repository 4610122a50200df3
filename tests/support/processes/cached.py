"""XLA compiles six functions; `test_compile_cache.py` starts it.

  python cached.py FOLDER

FOLDER is that of `trainloop.compile_cache`, loaded as scripts do. Prints why
there is no cache, or "on", and the bytes of what the functions gave.
"""

import sys

from cli import light


def main(folder):
  print(light.compile_cache.compile_cache(folder) or "on")
  import tensorflow as tf

  x = tf.reshape(tf.range(64, dtype=tf.float32), (8, 8)) / 64
  for i in range(6):
    function = tf.function(lambda x, i=i: tf.sin(x @ x + i), jit_compile=True)
    print(function(x).numpy().tobytes().hex())


if __name__ == "__main__":
  main(sys.argv[1])
