"""The scripts' datasets, from files as users have them."""

import numpy as np
import pytest

from training import datasets


def load(name, path, fraction=0.25, task="auto"):
  return datasets.load(name, str(path), fraction, 20000, 400, task)


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
  "head",
  ["", "a,b,kind\n", "0,1,kind\n", "\ufeff", "\ufeffa,b,kind\n", "\n\n"],
)
def test_csv_headers(tmp_path, head):
  text = head + "".join(f"{i},{-i},{i % 2}\n" for i in range(12))
  data = load("csv", write(tmp_path / "a.csv", text))
  assert len(data.x_train) + len(data.x_val) == 12
  assert data.outputs == 1 and data.task == "classification"


@pytest.mark.parametrize(
  ("text", "match"),
  [
    ("", "has no rows"),
    ("a,b\n", "has no rows"),
    ("1,2,x\n1,y\n", "line 2 has 2 cells, line 1 has 3"),
    ("1,2,x\n" * 19 + "1,z,y\n", "line 20 column 2 has 'z', no number"),
    ("1,2,x\n1,2,\n", "line 2 column 3 has '', a missing value, as label"),
    ("1,2,3\n1,2,4\n1,2,yes\n", "line 3 column 3 has 'yes', not like the"),
    ("1 2 x\n1 2 y\n", "has one column; .* separated by commas, semicolons"),
    ("1,a\n2,a\n3,a\n4,a\n", "the labels are all 'a'"),
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


def test_csv_in_another_encoding(tmp_path):
  (tmp_path / "a.csv").write_bytes(b"1,2,\xe9\n")
  with pytest.raises(datasets.DataError, match="is no CSV in UTF-8"):
    load("csv", tmp_path / "a.csv")


@pytest.mark.parametrize(
  ("y", "task", "outputs"),
  [
    (np.arange(8)[:, None] % 4, "classification", 4),
    (np.eye(4)[np.arange(8) % 4], "classification", 4),
    (np.arange(8) / 4, "regression", 1),
    (np.ones((8, 3)), "regression", 3),
  ],
  ids=["column", "one-hot", "fractions", "several"],
)
def test_the_task_by_the_labels(tmp_path, y, task, outputs):
  x = np.ones((8, 5))
  np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_val=x, y_val=y)
  data = load("npz", tmp_path / "a.npz")
  assert (data.task, data.outputs) == (task, outputs)


def test_the_task_by_the_flag(tmp_path):
  x, y = np.ones((8, 5)), np.arange(8)
  np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_val=x, y_val=y)
  data = load("npz", tmp_path / "a.npz", task="regression")
  assert (data.task, data.outputs) == ("regression", 1)


@pytest.mark.parametrize(
  ("arrays", "match"),
  [
    ({"x_val": np.ones((2, 5))}, "has no array y_val"),
    ({"y_train": np.arange(7)}, "must hold as many examples"),
    ({"x_train": np.array(3.0)}, "must hold as many examples"),
    ({"x_val": np.ones((2, 4)), "y_val": [0, 1]}, "examples differ in shape"),
    ({"x_val": np.ones((2, 5)), "y_val": [0, 9]}, "9 is a validation label"),
  ],
)
def test_npz_that_does_not_fit(tmp_path, arrays, match):
  whole = {"x_train": np.ones((8, 5)), "y_train": np.arange(8) % 4, **arrays}
  np.savez(tmp_path / "a.npz", **whole)
  with pytest.raises(datasets.DataError, match=match):
    load("npz", tmp_path / "a.npz")


def test_bad_npz(tmp_path):
  np.save(tmp_path / "d.npy", np.ones(3))
  with pytest.raises(datasets.DataError, match="is one array"):
    load("npz", tmp_path / "d.npy")
  np.savez(tmp_path / "e.npz", x_train=np.ones((99, 9)))
  content = (tmp_path / "e.npz").read_bytes()
  (tmp_path / "e.npz").write_bytes(content[: len(content) // 2])
  with pytest.raises(datasets.DataError, match=r"is no plain .npz file"):
    load("npz", tmp_path / "e.npz")
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
  data = datasets.load("imdb", str(tmp_path / "a.npz"), 0.2, 7, 4, "auto")
  assert data.x_train[0].tolist() == [5, 2, 2, 6]
  assert data.x_train.dtype == np.int32


def test_digits_need_no_file():
  data = datasets.load("digits", None, 0.2, 20000, 400, "auto")
  assert data.x_train.shape == (1438, 64) and data.outputs == 10
  assert data.x_train.min() >= 0 and data.x_train.max() == 1


@pytest.mark.parametrize(
  ("head", "rows", "columns"),
  [
    ("0,1,2\n", "{i}.5,{j},{k}", 2),
    (",0,1,2\n", "{i},{i}.5,{j},{k}", 2),
    (",a,b,label\n", "{i},{i}.5,{j},{k}", 2),
    ("0,1\n", "{i}.5,{k}", 1),
    ("0,1,2,3\n", "{i},{j},7,{k}", 3),
  ],
)
def test_a_header_of_numbers_and_an_index_are_no_data(
  tmp_path, capsys, head, rows, columns
):
  lines = [rows.format(i=i, j=i * i, k=i % 2) for i in range(12)]
  data = load("csv", write(tmp_path / "a.csv", head + "\n".join(lines)))
  assert len(data.x_train) + len(data.x_val) == 12
  assert data.x_train.shape[1] == columns
  assert "warning: " in capsys.readouterr().out


def test_a_first_row_of_small_numbers_is_an_example(tmp_path, capsys):
  lines = [f"{i},{i + 1},{i % 2}" for i in range(12)]
  data = load("csv", write(tmp_path / "a.csv", "\n".join(lines)))
  assert len(data.x_train) + len(data.x_val) == 12
  assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["nan", "NaN", "", "NA", "inf", "null"])
@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 7])
def test_a_missing_label_is_named_by_line_and_a_feature_is_flagged(
  tmp_path, missing, column, at
):
  rows = [[f"{i}.5", f"{i}", f"{i % 3}"] for i in range(12)]
  rows[at][column] = missing
  path = write(
    tmp_path / "a.csv", "a,b,kind\n" + "\n".join(map(",".join, rows))
  )
  if column < 2 and missing != "inf":
    data = load("csv", path)
    flags = np.concatenate([data.x_train, data.x_val])[:, 2:]
    in_training = flags.shape[1] == 1
    assert in_training == data.table.numbers[column].flagged
    assert flags.sum() == in_training
    return
  with pytest.raises(datasets.DataError) as caught:
    load("csv", path)
  assert f"line {at + 2} column {column + 1} " in str(caught.value)
  assert f"({['a', 'b', 'kind'][column]!r})" in str(caught.value)
  assert "\n" not in str(caught.value)


def test_seconds_since_1970_keep_their_digits(tmp_path):
  seconds = 1_700_000_000 + np.arange(64)
  text = "".join(f"{s},{i % 7},{(i // 8) / 8}\n" for i, s in enumerate(seconds))
  data = load("csv", write(tmp_path / "a.csv", text))
  x = np.concatenate([data.x_train, data.x_val])
  assert x.dtype == np.float32 and len(np.unique(x[:, 0])) == 64
  assert data.offset[0] > 1e9 and data.offset[1] == 0
  raw = np.sort(x[:, 0].astype(np.float64) + data.offset[0])
  np.testing.assert_array_equal(raw, seconds)
