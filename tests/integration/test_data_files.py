"""Damaged and foreign data files: refused in a line, or read as they are."""

import csv
import io
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

import trainloop
from kernels import checks
from support import file_damage
from training import datasets, memory, table_options, table_reader

X = np.random.default_rng(5).normal(size=(18, 3)).astype(np.float32)
ARRAYS = {
  "x_train": X[:12],
  "y_train": np.arange(12) % 3,
  "x_val": X[12:],
  "y_val": np.arange(6) % 3,
}
TABLE = "a,b,c,kind\n" + "".join(
  f"{a:.4g},{b:.4g},{i},{'xyz'[i % 3]}\n" for i, (a, b, _) in enumerate(X)
)
NUMBERS = "".join(f"{a:.4g},{i},{i % 3}\n" for i, (a, _, _) in enumerate(X))


def loaded(kind, path):
  """What a script has of a file, or the line that it ends with."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("error")  # they would be more lines
      data = datasets.load(kind, str(path), 0.25, 20000, 400, "auto")
      for x, y in ((data.x_train, data.y_train), (data.x_val, data.y_val)):
        trainloop.ArrayData(x, y, batch_size=1)
  except (datasets.DataError, checks.ArgumentError) as error:
    return None, str(error)
  return data, ""


def check_line(line):
  assert line.isprintable() and 20 < len(line) < 1000, line


def check_npz(path):
  """Holds what was read against NumPy's own reader; returns whether it was."""
  data, line = loaded("npz", path)
  if data is None:
    check_line(line)
    return False
  with np.load(path, allow_pickle=False) as file:
    arrays = {name: file[name] for name in ARRAYS}
  for part in ("train", "val"):
    x, found = arrays[f"x_{part}"], getattr(data, f"x_{part}")
    assert found.shape == x.shape
    if x.dtype == np.uint8:
      x = x.astype(np.float32) / 255
    if data.offset:
      x = x - np.array(data.offset)
    np.testing.assert_array_equal(found, x.astype(found.dtype))
    y, found = arrays[f"y_{part}"], getattr(data, f"y_{part}")
    if data.task == "regression":
      y = y.reshape(len(y), -1)
      found = found * np.array(data.scale) + np.array(data.mean)
      np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-4)
    else:
      classes = np.unique(arrays["y_train"])
      np.testing.assert_array_equal(
        classes[found.ravel().astype(int)], y.ravel()
      )
  return True


def check_table(path, capsys):
  """Holds what was read against Python's csv module."""
  capsys.readouterr()
  data, line = loaded("csv", path)
  if data is None:
    check_line(line)
    return False
  table = table_reader.read("csv", [str(path)], table_options.Options())
  warned, count = capsys.readouterr().out, len(table.labels)
  content = path.read_bytes()
  wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
  text = content.decode("utf-16" if wide else "utf-8-sig")
  dialect = {"delimiter": ",", "skipinitialspace": True}
  rows = list(csv.reader(io.StringIO(text, newline=""), **dialect))
  rows = [row for row in rows if row and row not in ([""], ["  "])]
  left_out, rows = rows[:-count], rows[-count:]
  assert len(left_out) <= 1
  for head in left_out:
    assert "a header" in warned or not all(map(is_number, head))
  places = [one.place for one in table.columns]
  assert "left out" in warned or places == [*range(1, len(rows[0]))]
  for one in table.columns:
    cells = [row[one.place - 1].strip() for row in rows]
    if one.kind == "words":
      values = [one.words[i] if i >= 0 else "" for i in one.values]
      for value, cell in zip(values, cells, strict=True):
        assert value == cell or (not value and is_missing(cell))
    elif one.kind == "numbers":
      found = [np.nan if is_missing(cell) else float(cell) for cell in cells]
      np.testing.assert_allclose(one.values, found, rtol=1e-15)
  last = max(i for i in range(len(rows[0])) if any(row[i] for row in rows))
  y, labels = table.labels, [row[last].strip() for row in rows]
  np.testing.assert_array_equal(
    y, [float(one) for one in labels] if y.dtype.kind == "f" else labels
  )
  return True


def is_missing(cell):
  return cell.lower() in ("", "na", "n/a", "nan", "null", "none", "?")


def is_number(cell):
  try:
    return bool(np.isfinite(float(cell)))
  except ValueError:
    return False


def fuzz(kind, folder, seeds, check):
  """How many files were read; fails with the seeds of those that went wrong."""
  good, wrong = 0, []
  for seed in seeds:
    path, rng = folder / f"{seed}.{kind}", file_damage.rng_of(seed)
    if kind == "npz":
      path.write_bytes(file_damage.damaged_npz(rng, ARRAYS))
    else:
      text = (TABLE, NUMBERS)[seed % 2]
      path.write_bytes(file_damage.damaged_table(rng, text))
    try:
      good += check(path)
    except Exception as error:
      wrong.append(f"seed {seed}: {type(error).__name__}: {error}"[:400])
    path.unlink()
  assert not wrong, "\n".join(wrong)
  return good


@pytest.fixture
def check_csv(capsys):
  return lambda path: check_table(path, capsys)


def test_some_damaged_npz_files(tmp_path):
  assert 5 <= fuzz("npz", tmp_path, range(60), check_npz) <= 55


def test_some_damaged_tables(tmp_path, check_csv):
  assert 5 <= fuzz("csv", tmp_path, range(60), check_csv) <= 55


@pytest.mark.long
def test_many_damaged_npz_files(tmp_path):
  assert fuzz("npz", tmp_path, range(60, 860), check_npz) >= 80


@pytest.mark.long
def test_many_damaged_tables(tmp_path, check_csv):
  assert fuzz("csv", tmp_path, range(60, 760), check_csv) >= 80


def peak_of(kind, path):
  """(the line that a file is refused with, most bytes that this took)."""
  tracemalloc.start()
  try:
    data, line = loaded(kind, path)
    assert data is None
    return line, tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


@pytest.mark.parametrize(
  ("method", "reason"),
  [
    (zipfile.ZIP_DEFLATED, "take 0.0313 GiB; 0.0156 GiB of memory are left"),
    (zipfile.ZIP_BZIP2, "x_train is compressed otherwise than by NumPy"),
    (zipfile.ZIP_LZMA, "x_train is compressed otherwise than by NumPy"),
  ],
)
def test_what_is_larger_than_the_memory_is_not_unpacked(
  tmp_path, monkeypatch, method, reason
):
  bomb = file_damage.npy(np.zeros((1 << 23, 1), np.int8))
  members = {
    f"{name}.npy": file_damage.npy(one) for name, one in ARRAYS.items()
  }
  members["x_train.npy"] = bomb
  path = tmp_path / "a.npz"
  path.write_bytes(file_damage.npz(members.items(), method))
  assert path.stat().st_size < len(bomb) / 100
  monkeypatch.setattr(memory, "available", lambda: 1 << 24)
  line, peak = peak_of("npz", path)
  assert reason in line
  assert peak < len(bomb) / 4


def test_a_table_larger_than_the_memory_is_not_read(tmp_path, monkeypatch):
  path = tmp_path / "a.csv"
  path.write_text(TABLE)
  monkeypatch.setattr(memory, "available", lambda: 3 * len(TABLE))
  line, peak = peak_of("csv", path)
  assert "of memory are left" in line and peak < 100_000


def test_a_line_without_end_is_not_split(tmp_path):
  path = tmp_path / "a.csv"
  path.write_bytes(b"1,2,x\n" + b"1," * (1 << 24))
  line, peak = peak_of("csv", path)
  assert "line 2 is longer than 16777215 characters" in line
  assert peak < 1 << 27  # 8 million cells would be more


@pytest.mark.parametrize("text", ["1,2,{}\n3,4,b\n", "1,2,a\n3,4,{}\n"])
def test_a_label_is_no_book(tmp_path, text):
  path = tmp_path / "a.csv"
  path.write_text(text.format("a" * 100_000))
  line, peak = peak_of("csv", path)
  assert "a label of 100000 characters, more than 1000" in line
  assert peak < 1 << 23


def test_arrays_of_no_use_are_not_read(tmp_path):
  members = {
    f"{name}.npy": file_damage.npy(one) for name, one in ARRAYS.items()
  }
  members |= {"x_test.npy": b"nonsense", "y_test.npy": b"", "ids.txt": b"1"}
  members["../y_train.npy"] = file_damage.npy(np.zeros(3, object))
  path = tmp_path / "a.npz"
  path.write_bytes(file_damage.npz(members.items()))
  assert check_npz(path)


@pytest.mark.parametrize(
  ("rows", "line"),
  [
    (["a,b", "1,2,x", "3,4,y"], "line 2 has 3 cells, line 1 has 2"),
    (["1,2,x", ",,", "3,4,y"], "line 2 column 3 has '', a missing value"),
    (["1,2,x", '3,4,"y', "5,6,x"], "is no CSV: line 3: unexpected end of data"),
    (["1,1_000,x", *["2,2,y"] * 19], "column 2 has '1_000', no number"),
    (["1,٣,x", *["2,2,y"] * 19], "column 2 has '٣', no number"),
    (["1,1e999,x", "2,2,y"], "column 2 has '1e999', no finite"),
    (["1,2,x\0", "2,2,x"], "line 1 has a NUL: no text"),
    (["1,2," + str(2**53), "1,2," + str(2**53 + 1)], "more digits than a fl"),
    (["1,1e300,x", "2,2,y"] * 4, "column 2 has '1e300', no finite"),
    (["1,2,1e300", "2,2,0.5"] * 4, "column 3 has '1e300', no finite"),
    (['1,2,"' + "x" * 200_000 + '"'], "field larger than field limit"),
  ],
)
def test_what_a_table_does_not_say_plainly(tmp_path, rows, line):
  path = tmp_path / "a.csv"
  path.write_text("\n".join(rows))
  data, told = loaded("csv", path)
  assert data is None and line in told
  check_line(told)
