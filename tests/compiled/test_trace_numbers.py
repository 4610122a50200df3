"""Names of functions for XLA are the same in each process."""

import zlib

import pytest
import tensorflow as tf

from trainloop.compiled import trace_numbers


def numbers():
  """Those that TensorFlow puts into the names of a function and its loop."""

  def body(x):
    return tf.while_loop(lambda i: i < x, lambda i: [i + 1], [tf.constant(0)])

  traced = tf.function(body, autograph=False).get_concrete_function(
    tf.TensorSpec([], tf.int32)
  )
  library = traced.graph.as_graph_def().library.function
  names = [
    traced.name.decode(),
    *(function.signature.name for function in library),
  ]
  return [int(name.rpartition("_")[2]) for name in names]


@pytest.mark.parametrize("text", ["one", "another"])
def test_they_follow_from_a_text(text):
  tf.constant(1.0) + 1.0  # whatever was made before
  with trace_numbers.settled(text):
    first = numbers()
  start = zlib.crc32(text.encode())
  assert len(first) >= 3  # the function, the loop's condition and body
  assert {number >> 24 for number in first} == {(1 << 36) + start}


def test_a_second_trace_of_a_text_has_others():
  with trace_numbers.settled("twice"):
    first = numbers()
  with trace_numbers.settled("twice"):
    second = numbers()
  assert not set(first) & set(second)
  assert [n - first[0] for n in first] == [n - second[0] for n in second]


def test_others_keep_tensorflows_own():
  with trace_numbers.settled("mine"):
    pass
  assert max(numbers()) < 1 << 60
