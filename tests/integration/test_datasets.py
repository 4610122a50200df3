"""The scripts' datasets, from files as users have them."""

import numpy as np
import pytest

import datasets


def load(name, path, fraction=0.25):
  return datasets.load(name, str(path), fraction, 20000, 400)


def write(path, text):
  path.write_text(text)
  return path


def test_csv_of_two_classes(tmp_path):
  text = "".join(f"{i},{-i},{'gb'[i % 2]}\n" for i in range(12))
  data = load("csv", write(tmp_path / "a.csv", text))
  assert data.x_train.shape == (9, 2) and data.x_val.shape == (3, 2)
  assert data.y_train.shape == (9, 1) and set(data.y_train.ravel()) <= {0, 1}
  assert (data.outputs, data.loss) == (1, "binary_crossentropy")
  # g is odd: features and labels were shuffled together.
  even = data.x_train[:, 0] % 2 == 0
  np.testing.assert_array_equal(data.y_train[:, 0], even)


def test_csv_of_classes_and_of_numbers(tmp_path):
  text = "a,kind\n" + "".join(f"{i},{i % 3}\n" for i in range(12))
  data = load("csv", write(tmp_path / "a.csv", text))
  assert (data.outputs, data.loss) == (3, "sparse_categorical_crossentropy")
  text = "".join(f"{i},{i / 8}\n" for i in range(12))
  data = load("csv", write(tmp_path / "b.csv", text))
  assert (data.outputs, data.loss) == (1, "mean_squared_error")
  assert data.y_train.shape == (9, 1) and data.y_train.dtype == np.float32


@pytest.mark.parametrize(
  ("text", "match"),
  [
    ("", "has no rows"),
    ("a,b\n", "has no rows"),
    ("1,2,x\n1,y\n", "data row 2 is not 2 numbers and a label"),
    ("1,2,x\n1,z,y\n", "data row 2 is not"),
    ("1\n2\n", "data row 1 is not"),
    ("1,a\n2,a\n3,a\n4,a\n", "the labels are all"),
    ("1,a\n", "leaves"),
  ],
)
def test_bad_csv(tmp_path, text, match):
  with pytest.raises(datasets.DataError, match=match):
    load("csv", write(tmp_path / "a.csv", text))


def test_npz_with_and_without_validation(tmp_path):
  x, y = np.arange(40, dtype=np.uint8).reshape(8, 5), np.arange(8) % 4
  np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
  data = load("npz", tmp_path / "a.npz")
  assert len(data.x_val) == 3 and data.outputs == 4
  np.testing.assert_array_equal(data.x_train, x.astype(np.float32) / 255)
  np.savez(tmp_path / "b.npz", x_train=x, y_train=y)
  assert len(load("npz", tmp_path / "b.npz").x_val) == 2


def test_bad_npz(tmp_path):
  np.savez(tmp_path / "a.npz", x=np.ones(3))
  with pytest.raises(datasets.DataError, match=r"no array x_train \(has x\)"):
    load("npz", tmp_path / "a.npz")
  (tmp_path / "b.npz").write_bytes(b"nonsense")
  with pytest.raises(datasets.DataError, match=r"is no plain .npz file"):
    load("npz", tmp_path / "b.npz")
  with pytest.raises(datasets.DataError, match="is not a file"):
    load("npz", tmp_path / "c.npz")


def test_imdb_words(tmp_path):
  x = np.array([[0, 1, 5, 19999, 7, 6]] * 4, np.uint16)
  np.savez(
    tmp_path / "a.npz",
    x_train=x,
    y_train=np.array([0, 1, 0, 1]),
    x_test=x,
    y_test=np.array([0, 1, 0, 1]),
  )
  data = datasets.load("imdb", str(tmp_path / "a.npz"), 0.2, 7, 4)
  assert data.x_train[0].tolist() == [5, 2, 2, 6]
  assert data.x_train.dtype == np.int32


def test_digits_need_no_file():
  data = datasets.load("digits", None, 0.2, 20000, 400)
  assert data.x_train.shape == (1438, 64) and data.outputs == 10
  assert data.x_train.min() >= 0 and data.x_train.max() == 1
