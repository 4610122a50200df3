"""Python objects that give batches: a PyDataset, a DataLoader, a generator.

Each becomes a `Feed`, which gives its batches from any step on; TensorFlow
reads it as a dataset from a generator.
"""

import collections
import contextlib
import functools
import inspect
import itertools
import weakref
from concurrent.futures import ThreadPoolExecutor

import keras
import tensorflow as tf

from kernels import checks
from trainloop.data import elements

_SAMPLES = 2  # batches that say which sizes vary, as in Keras
# What was fed already goes on where it was left, in later fits too.
_known = weakref.WeakKeyDictionary()
_known_by_id = {}  # of iterators that can't be referred to weakly


def of(name, data, counted):
  """The `Feed` of a Python object; None if it gives no batches.

  Args:
    name: argument that it is, for errors.
    data: a `keras.utils.PyDataset`, an iterable of batches, an iterator, or a
      function without arguments that makes one.
    counted: whether `steps_per_epoch` says how long an epoch is.

  Raises:
    ValueError: if it has no batch, or can be read only once where it is to be
      read in several passes.
  """
  if isinstance(data, keras.utils.PyDataset):
    return _once_made(name, data, Indexed)
  if inspect.isroutine(data) or isinstance(data, functools.partial):
    return Passes(name, data, None)
  if not _gives_batches(data):
    return None
  if iter(data) is not data:
    return Passes(name, functools.partial(iter, data), _length(data))
  if not counted:
    rule = "data that can be read again: of a generator the function itself, "
    rule += "as fit(batches), not fit(batches()); or say `steps_per_epoch`"
    checks.fail(name, f"{type(data).__name__}, which one pass uses up", rule)
  return _once_made(name, data, Once)


def _gives_batches(data):
  """Whether iterating gives batches, not examples or names."""
  if isinstance(data, (str, bytes, dict, set, tuple)) or tf.is_tensor(data):
    return False
  if hasattr(data, "shape") or not hasattr(data, "__iter__"):
    return False
  if isinstance(data, list):  # of batches, each with its parts
    return all(isinstance(one, (tuple, dict)) for one in data)
  return True


def _length(data):
  try:
    return len(data)
  except TypeError:  # of a stream, which does not know
    return None


def _once_made(name, data, kind):
  try:
    known = _known.setdefault(data, {})
  except TypeError:
    _, known = _known_by_id.setdefault(id(data), (data, {}))
    return known.setdefault("feed", kind(name, data))
  if "feed" not in known:  # it must not hold its own key
    known["feed"] = kind(name, weakref.proxy(data))
  return known["feed"]


@contextlib.contextmanager
def own_errors(feed):
  """Around reads of a dataset: what a `Feed`, or None, raised comes as it is,
  in place of TensorFlow's error."""
  try:
    yield
  except tf.errors.OpError:
    if feed is not None and feed.error is not None:
      raise feed.error from None
    raise


class Feed:
  """Batches that Python gives.

  Args:
    name: argument that they are, for errors.
    length: batches of a pass, `tf.data.INFINITE_CARDINALITY`, or None where
      only reading them tells.
    samples: the first batches.

  Attributes:
    error: what the object raised while TensorFlow read it, or None.
    first: the first batch of all; None where each pass has its own.
  """

  first = error = _origin = None

  def __init__(self, name, length, samples):
    self.name, self.length, self._per_pass = name, length, length
    samples = [elements.of(name, one) for one in samples]
    if not samples:
      checks.fail(name, "no batch", "data of at least one batch")
    self._form = elements.Form(name, samples)

  def dataset(self, held):
    """One pass, a `tf.data.Dataset` that leaves the object's state alone.

    Args:
      held: the Python object, which lives as long as the dataset.
    """
    made = self._read(lambda held=held: self.one_pass())
    if self.length is None:
      return made
    return made.apply(tf.data.experimental.assert_cardinality(self.length))

  def begin(self, step, steps_per_epoch):
    """Before a fit whose first update is `step` of the run."""
    self._origin = step if self._origin is None else self._origin
    if self.length == tf.data.INFINITE_CARDINALITY:
      self._per_pass = steps_per_epoch

  def stream(self, at):
    """All batches from step `at` of the run on, a `tf.data.Dataset`.

    What was read is not read again: where the object has gone further already,
    with another loop or before a rewind, it goes on from there.
    """
    return self._read(lambda: self.batches(at - self._origin))

  def _read(self, batches):
    def checked():
      self.error = None
      try:
        for one in batches():
          yield self._form.fitted(elements.of(self.name, one))
      except Exception as error:
        self.error = error
        raise

    made = tf.data.Dataset.from_generator(
      checked, output_signature=self._form.signature
    )
    # Nothing is taken from the object that no update asks for.
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    return made.with_options(options)


class Indexed(Feed):
  """A `keras.utils.PyDataset`: batch i of each pass is its item i.

  Its on_epoch_begin and on_epoch_end come around the passes of training, and
  before the first batch of a run that goes on as often as passes were before,
  so that an order drawn there, from a seed, is the same one. Validation and
  sweeps call neither. Its workers are threads; batches keep their order.
  """

  def __init__(self, name, data):
    self._data = data
    count = data.num_batches
    infinite = tf.data.INFINITE_CARDINALITY
    places = range(_SAMPLES if count is None else count)
    # The last batch is often a shorter one.
    places = sorted({*places[:_SAMPLES], *places[-1:]})
    samples = [data[i] for i in places]
    super().__init__(name, infinite if count is None else count, samples)
    self.first = elements.of(name, samples[0])
    self._passes, self._begun = 0, False  # ended, and whether one has begun

  def one_pass(self):
    """The batches of a pass."""
    infinite = self.length == tf.data.INFINITE_CARDINALITY
    return self._items(itertools.count() if infinite else range(self.length))

  def batches(self, at):
    """All from update `at` of this object on, pass by pass."""
    number, first = divmod(at, self._per_pass)
    infinite = self.length == tf.data.INFINITE_CARDINALITY
    while self._passes < number:
      self._turn()
    while True:
      if not self._begun:
        self._data.on_epoch_begin()
      self._begun = True
      start = number * self._per_pass if infinite else 0
      yield from self._items(range(start + first, start + self._per_pass))
      self._turn()
      number, first = number + 1, 0

  def _turn(self):
    """Ends a pass, which is begun before if it was not."""
    if not self._begun:
      self._data.on_epoch_begin()
    self._data.on_epoch_end()
    self._passes, self._begun = self._passes + 1, False

  def _items(self, places):
    data = self._data
    if data.workers <= 1:
      return (data[i] for i in places)
    return _ahead(data, places, data.workers, max(1, data.max_queue_size))


def _ahead(data, places, workers, most):
  """Items in the order of `places`, read by threads, `most` of them ahead."""
  places, pool = iter(places), ThreadPoolExecutor(workers)
  try:
    waiting = collections.deque(
      pool.submit(data.__getitem__, i) for i in itertools.islice(places, most)
    )
    while waiting:
      yield waiting.popleft().result()
      for i in itertools.islice(places, 1):
        waiting.append(pool.submit(data.__getitem__, i))
  finally:
    pool.shutdown(cancel_futures=True)


class Passes(Feed):
  """An iterable, or a function that makes one, read anew in each pass.

  Nothing says where a pass stands: a run that goes on reads the batches before
  again.

  Args:
    name: argument that it is, for errors.
    make: function that gives an iterator over a pass.
    length: batches of a pass, or None.
  """

  def __init__(self, name, make, length):
    self._make = make
    samples = list(itertools.islice(iter(make()), _SAMPLES))
    super().__init__(name, length, samples)

  def one_pass(self):
    """The batches of a pass."""
    return iter(self._make())

  def batches(self, at):
    """All from update `at` on, pass by pass."""
    done = 0
    while True:
      before = done
      for one in self._make():
        done += 1
        if done > at:
          yield one
      count = done - before
      if count == 0 or count != (self.length or count):
        rule = f"of {self.length or 'some'} batches in each pass"
        checks.fail(self.name, f"a pass of {count}", rule)


class Once(Feed):
  """An iterator, as a generator: what it gave it gives to nobody else.

  What was only looked at, for the model's first call or by a sweep, comes
  again in the fit. A run that goes on in another process reads the batches
  before again.
  """

  def __init__(self, name, data):
    self._data, self._given = data, 0
    self._seen = collections.deque(itertools.islice(data, _SAMPLES))
    super().__init__(name, None, self._seen)
    self.length = tf.data.INFINITE_CARDINALITY
    self.first = elements.of(name, self._seen[0])

  def one_pass(self):
    """What comes next, only looked at."""
    for i in itertools.count():
      if i == len(self._seen):
        self._seen.append(self._next())
      yield self._seen[i]

  def batches(self, at):
    """All from update `at` of this object on."""
    while True:
      one = self._seen.popleft() if self._seen else self._next()
      self._given += 1
      if self._given > at:
        yield one

  def _next(self):
    for one in self._data:
      return one
    rule = "data with a batch for every update, as a generator by `while True:`"
    given = self._given + len(self._seen)
    return checks.fail(self.name, f"an end after {given} batches", rule)
