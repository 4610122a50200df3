"""Tables, sparse matrices and text as `ArrayData` takes them."""

import keras
import numpy as np
import pytest
import scipy.sparse

import trainloop
from support import small

WORDS = ["good film", "bad film", "good", "bad"] * 10
LABELS = np.float32([1, 0, 1, 0] * 10)[:, None]


class Column:
  """As a column of pandas: NumPy makes an array of it."""

  def __init__(self, values):
    self.values = np.asarray(values)
    self.dtype = self.values.dtype

  def __array__(self, dtype=None, copy=None):
    return self.values.astype(dtype or self.values.dtype)


class Table:
  """As a pandas.DataFrame: columns by name, NumPy makes an array of it."""

  def __init__(self, **columns):
    self.columns, self._columns = list(columns), columns
    self.shape = (len(next(iter(columns.values()))), len(columns))

  def __getitem__(self, name):
    return Column(self._columns[name])

  def __array__(self, dtype=None, copy=None):
    rows = zip(*self._columns.values(), strict=True)
    return np.array([list(row) for row in rows], dtype or object)


@pytest.mark.parametrize(
  "make", [scipy.sparse.csr_array, scipy.sparse.coo_matrix]
)
def test_a_sparse_matrix_becomes_dense(make):
  x, y = small.arrays()
  x[x < 0.5] = 0
  data = trainloop.ArrayData(make(x.astype("float64")), y, batch_size=8)
  np.testing.assert_array_equal(data.arrays[0], x)
  assert data.arrays[0].dtype == np.float32


def test_a_large_sparse_matrix_names_the_line():
  x = scipy.sparse.csr_array((2**16, 2**16))
  with pytest.raises(ValueError, match=r"`x` must be at most 1 GiB.*PyDataset"):
    trainloop.ArrayData(x, np.zeros(2**16), batch_size=8)


def test_a_table_of_numbers():
  data = trainloop.ArrayData(
    Table(age=[18, 30], male=[True, False]), [0, 1], batch_size=1
  )
  assert data.arrays[0].tolist() == [[18.0, 1.0], [30.0, 0.0]]


@pytest.mark.parametrize(
  ("column", "kind"),
  [(["x", "y"], "<U1"), (np.array([0, 1], "datetime64[s]"), "<M8")],
)
def test_a_column_without_numbers_is_named_with_the_line(column, kind):
  told = r"`x` must be of numbers, also column 'b'; pandas.get_dummies\(x\)"
  with pytest.raises(ValueError, match=f"{told}.*got dtype.*{kind}"):
    trainloop.ArrayData(Table(a=[1, 2], b=column), [0, 1], batch_size=1)


def test_labels_of_text_name_the_line():
  for y in (["no", "yes"], np.array(["no", "yes"], object)):
    with pytest.raises(
      ValueError, match=r"of text numpy.unique\(y, return_inv"
    ):
      trainloop.ArrayData([[1.0], [2.0]], y, batch_size=1)


def net():
  keras.utils.set_random_seed(0)
  words = keras.layers.TextVectorization(50, output_sequence_length=3)
  words.adapt(WORDS)
  return keras.Sequential([
    keras.Input((), dtype="string"), words, keras.layers.Embedding(50, 4),
    keras.layers.GlobalAveragePooling1D(),
    keras.layers.Dense(1, activation="sigmoid"),
  ])  # fmt: skip


@pytest.mark.parametrize(
  "text", [WORDS, np.array(WORDS), np.array(WORDS, object)]
)
def test_text_trains_as_in_keras(text, tmp_path):
  data = trainloop.ArrayData(text, LABELS, batch_size=8, shuffle=False)
  loop = trainloop.TrainLoop(
    net, lambda: keras.optimizers.SGD(0.1), "binary_crossentropy",
    verbose=False, workdir=str(tmp_path),
  )  # fmt: skip
  loop.fit(data, 2, validation=data)
  assert (loop.engine.name, loop.engine.reason) == (
    "graph",
    "as the data has text",
  )
  expected = net()
  expected.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
  expected.fit(np.array(WORDS, object), LABELS, 8, 2, 0, shuffle=False)
  for mine, other in zip(
    loop.model.get_weights(), expected.get_weights(), strict=True
  ):
    np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)
