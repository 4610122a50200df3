"""What a user's generator or Python function raises under TensorFlow."""

import traceback

import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small
from trainloop.base import user_errors

_SPEC = (tf.TensorSpec((8, 8)), tf.TensorSpec((8,), tf.int64))
_GONE = ZeroDivisionError("the disk is gone")


class Odd(Exception):
  """An error of a user's own kind."""


def failing(after, error=_GONE):
  """A dataset whose generator raises behind some batches."""
  x, y = small.arrays(8)

  def generate():
    for _ in range(after):
      yield x, y
    raise error  # of generate

  return tf.data.Dataset.from_generator(generate, output_signature=_SPEC)


def mapped(error):
  def fail(x):
    raise error  # of fail

  def split(x, y):
    return tf.ensure_shape(tf.py_function(fail, [x], tf.float32), (8, 8)), y

  data = tf.data.Dataset.from_tensors(small.arrays(8)).repeat(3)
  return data.map(split)


def check(caught, kind, text, where="generate"):
  error = caught.value
  assert type(error) is kind and "\n" not in str(error)
  assert text in str(error) and f", in {where})" in str(error)
  names = [frame.f_globals["__name__"] for frame, _ in
           traceback.walk_tb(error.__traceback__)]  # fmt: skip
  assert set(names) == {__name__}
  assert error.__suppress_context__


@pytest.mark.parametrize(
  "call",
  [
    lambda: small.loop().fit(failing(3), 1),  # while it is counted
    lambda: small.loop().fit(failing(0), 1, steps_per_epoch=4),  # its first
    lambda: small.loop().fit(failing(3), 1, steps_per_epoch=9),  # in training
    lambda: small.loop(compile="graph").fit(failing(3), 1, steps_per_epoch=9),
    lambda: small.loop().fit(small.data(), 1, validation=failing(3)),
    lambda: small.loop().evaluate(failing(1)),
    lambda: trainloop.sweep_learning_rate(small.loop(), failing(1)),
  ],
  ids=["counting", "first", "xla", "graph", "validation", "evaluate", "sweep"],
)
def test_it_is_theirs_wherever_it_happens(call):
  with pytest.raises(ZeroDivisionError) as caught:
    call()
  place = f" of {__file__}, in generate)"
  check(caught, ZeroDivisionError, "the disk is gone (line ")
  assert str(caught.value).endswith(place)


@pytest.mark.parametrize(
  ("error", "kind", "text"),
  [
    (KeyError("mine"), KeyError, "mine (line"),
    (ValueError("two\nlines"), ValueError, "two lines (line"),
    (OSError(2, "no file"), FileNotFoundError, "no file (line"),
    (Odd("odd: very"), RuntimeError, "Odd: odd: very (line"),
    (TypeError(), TypeError, "(line"),
    (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), RuntimeError,
     "UnicodeDecodeError: 'utf-8' codec"),
    (NotImplementedError("later"), NotImplementedError, "later (line"),
  ],
)  # fmt: skip
def test_kinds(error, kind, text):
  with pytest.raises(kind) as caught:
    small.loop().evaluate(failing(1, error))
  check(caught, kind, text)


def test_a_python_function_in_a_map():
  with pytest.raises(RuntimeError) as caught:
    small.loop().fit(mapped(RuntimeError("mine")), 1)
  check(caught, RuntimeError, "mine (line", "fail")
  assert "Iterator::" not in str(caught.value)


def test_a_generator_of_other_types_is_told():
  x, y = small.arrays(8)
  data = tf.data.Dataset.from_generator(
    lambda: iter([(x, y), ("words", y)]), output_signature=_SPEC
  )
  with pytest.raises(TypeError, match="`generator` yielded an element"):
    small.loop().fit(data, 1)


@pytest.mark.parametrize(
  "text", ["Matrix size-incompatible", "RuntimeError: mine", ""]
)
def test_errors_of_tensorflow_itself_stay(text):
  error = tf.errors.InvalidArgumentError(None, None, text)
  assert user_errors.of(error) is None

  @user_errors.translated
  def call():
    raise error

  with pytest.raises(tf.errors.InvalidArgumentError) as caught:
    call()
  assert caught.value is error


def test_a_run_goes_on_behind_it(tmp_path):
  loop = small.loop(workdir=tmp_path, checkpoint_every="2st")
  with pytest.raises(ZeroDivisionError):
    loop.fit(failing(5), 1, steps_per_epoch=9)
  whole = tf.data.Dataset.from_tensors(small.arrays(8)).repeat()
  again = small.loop(workdir=tmp_path, checkpoint_every="2st")
  history = again.fit(whole, 1, steps_per_epoch=9)
  assert again.resumed_from and len(history.rows["step"]) == 9
  assert np.isfinite(history.rows["loss"]).all()


def tops(error):
  """The first parts of the modules in an error's traceback."""
  walked = traceback.walk_tb(error.__traceback__)
  names = [frame.f_globals["__name__"] for frame, _ in walked]
  return [name.partition(".")[0] for name in names]


def test_a_bad_argument_shows_the_call_alone_and_its_cause_the_users_line():
  def loss(y, p):
    return tf.matmul(p, p)

  def fit():
    small.loop(loss=loss, metrics=None).fit(small.data(), 1)

  with pytest.raises(ValueError, match="Matrix size") as caught:
    fit()
  assert not {"trainloop", "kernels"} & set(tops(caught.value))
  assert tops(caught.value.__cause__)[0] == __name__.partition(".")[0]
  tf.debugging.disable_traceback_filtering()
  try:
    with pytest.raises(ValueError, match="Matrix size") as caught:
      fit()
    assert "trainloop" in tops(caught.value)
  finally:
    tf.debugging.enable_traceback_filtering()
