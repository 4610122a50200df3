"""Tables as people have them: read, or refused in a line; raw rows into the
saved model."""

import gzip
import json
import resource
import subprocess
import sys

import keras
import numpy as np
import pytest

import trainloop
from kernels import Constant
from support import commands, tables
from training import datasets, models, table_options

pd = pytest.importorskip("pandas")

FRACTION = 0.25


def load(path, kind="csv", **options):
  options = table_options.Options(**options)
  return datasets.load(kind, str(path), FRACTION, 0, 0, "auto", options)


def trained(data):
  """A loop that has trained on a `datasets.Data`."""
  loop = trainloop.TrainLoop(
    models.maker("mlp", data, [8], [], 0, 0, 0),
    keras.optimizers.SGD,
    data.loss,
    schedule=Constant(0.05),
    compile="graph",
    verbose=False,
  )
  loop.fit(trainloop.ArrayData(data.x_train, data.y_train, batch_size=16), 2)
  return loop


def check_raw_rows(data, head, rows, folder):
  """Raw rows into the saved model give the loop's own predictions."""
  loop = trained(data)
  data.in_units(loop.model).save(folder / "model.keras")
  model = keras.saving.load_model(folder / "model.keras")
  held = tables.held_out(len(rows), FRACTION)
  raw = tables.raw(data, head, [rows[i] for i in held])
  assert set(raw) == set(model.input)
  own = loop.model.predict(data.x_val, verbose=0)
  if data.task == "regression":
    own = own * np.float32(data.scale) + np.float32(data.mean)
  for found in (model(raw), model.predict(raw, verbose=0)):
    np.testing.assert_allclose(found, own, rtol=1e-5, atol=1e-6)
  return model


def refused(path, **options):
  with pytest.raises(datasets.DataError) as caught:
    load(path, **options)
  line = str(caught.value)
  assert "\n" not in line and 20 < len(line) < 400
  return line


def test_passengers_with_quotes_and_missing_ages(tmp_path, capsys):
  head, rows = tables.passengers()
  path = tables.write(tmp_path / "a.csv", head, rows)
  data = load(path)
  said = capsys.readouterr().out
  assert "columns left out: Name (words that come once, as 'Braund" in said
  assert [one.name for one in data.table.numbers] == ["Id", "Age"]
  assert [one.flagged for one in data.table.numbers] == [False, True]
  sex, embarked = data.table.words
  assert sorted(sex.vocabulary) == ["female", "male"]
  assert embarked.vocabulary[-1] == "" and len(embarked.vocabulary) == 4
  assert data.classes == ("did not live", "lived on")
  model = check_raw_rows(data, head, rows, tmp_path)
  new = {"Id": [1.0], "Age": [np.nan], "Sex": ["?"], "Embarked": ["X"]}
  new = {name: np.array(value) for name, value in new.items()}
  assert np.isfinite(model(new)).all()  # words that it has never seen


def test_a_missing_value_is_the_mean_and_a_flag_and_words_are_places(tmp_path):
  rows = [[i if i % 4 else "?", "ab"[i % 2], i % 2] for i in range(40)]
  data = load(tables.write(tmp_path / "a.csv", ["n", "w", "y"], rows))
  held = tables.held_out(40, FRACTION)
  kept = [row for i, row in enumerate(rows) if i not in held]
  mean = np.float32(np.mean([row[0] for row in kept if row[0] != "?"]))
  vocabulary = data.table.words[0].vocabulary
  for (number, word, _), x in zip(
    (rows[i] for i in held), data.x_val, strict=True
  ):
    assert x[0] == (mean if number == "?" else number)
    assert x[1] == (number == "?")
    assert vocabulary[int(x[2]) - 1] == word


def test_semicolons_and_decimal_commas(tmp_path):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(80, 2)).round(3)
  rows = [
    [f"{a}".replace(".", ","), f"{b}".replace(".", ","), "rot" if i % 3 else "",
     f"{100 + a:.2f}".replace(".", ",")]
    for i, (a, b) in enumerate(x)
  ]  # fmt: skip
  head = ["a", "b", "farbe", "preis"]
  path = tables.write(tmp_path / "a.csv", head, rows, separator=";")
  data = load(path)
  assert (data.task, data.outputs) == ("regression", 1)
  assert data.mean[0] == pytest.approx(100, abs=0.5)
  check_raw_rows(data, head, rows, tmp_path)
  told = refused(path, separator=",")
  assert "line 2 has" in told or "one column" in told


@pytest.mark.parametrize(
  ("encoding", "given"),
  [("latin-1", "latin-1"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-8")],
)
def test_encodings_and_byte_order_marks(tmp_path, encoding, given):
  rows = [[i, ("Köln", "Nîmes")[i % 2], "àé"[i % 2]] for i in range(40)]
  path = tmp_path / "a.csv"
  tables.write(path, ["Größe", "Stadt", "Art"], rows, encoding)
  data = load(path, encoding=given)
  assert data.classes == ("à", "é")
  assert data.table.numbers[0].name == "Größe"
  assert sorted(data.table.words[0].vocabulary) == ["Köln", "Nîmes"]
  if encoding == "latin-1":
    told = refused(path)
    assert "no CSV in UTF-8: line 1 has the byte 0xf6" in told
    assert "--encoding=cp1252" in told


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y %H:%M"])
def test_dates_are_refused_dropped_or_days(tmp_path, form):
  days = pd.Timestamp("2020-01-15") + pd.to_timedelta(np.arange(60), "D")
  texts = days.strftime(form)
  rows = [[i % 7, text, "ab"[i % 2]] for i, text in enumerate(texts)]
  path = tables.write(tmp_path / "a.csv", ["n", "when", "y"], rows)
  told = refused(path)
  assert f"line 2 column 2 ('when') has {texts[0]!r}, a date" in told
  assert "--dates=number" in told and "--dates=drop" in told
  assert load(path, dates="drop").x_train.shape[1] == 1
  data = load(path, dates="number")
  held = tables.held_out(60, FRACTION)
  assert data.x_val[:, 1].tolist() == [18276 + i for i in held]
  rows[30][1] = "soon"
  tables.write(path, ["n", "when", "y"], rows)
  assert "line 32 column 2 ('when') has 'soon', no" in refused(path)
  assert load(path, dates="number", missing=("soon",)).table.flags == [1]


def test_500_columns(tmp_path):
  rng = np.random.default_rng(0)
  head = [f"c{i}" for i in range(499)] + ["y"]
  numbers, words = rng.normal(size=(120, 499)).round(2), rng.integers(0, 3, 499)
  rows = [
    [
      ("", "a", "b")[(words[i] + j) % 3] if i % 25 == 0 else row[i]
      for i in range(499)
    ]
    + ["ab"[j % 2]]
    for j, row in enumerate(numbers)
  ]
  rows[7][1] = ""
  data = load(tables.write(tmp_path / "a.csv", head, rows))
  assert len(data.table.numbers) == 479 and len(data.table.words) == 20
  check_raw_rows(data, head, rows, tmp_path)


def test_labels_with_spaces_and_labels_that_are_numbers(tmp_path):
  rows = [[i, (" not yet ", "for sure")[i % 2]] for i in range(20)]
  data = load(tables.write(tmp_path / "a.csv", ["n", "y"], rows))
  assert data.classes == ("for sure", "not yet")
  rows = [[i, (30, 10, 20)[i % 3]] for i in range(30)]
  data = load(tables.write(tmp_path / "a.csv", ["n", "y"], rows))
  assert data.classes == ("10", "20", "30") and data.table is None


def test_one_class_only(tmp_path):
  rows = [[i, "w", "same old"] for i in range(20)]
  path = tables.write(tmp_path / "a.csv", ["n", "w", "y"], rows)
  assert "the labels are all 'same old': nothing to learn" in refused(path)


def test_names_that_come_twice(tmp_path, capsys):
  rows = [[i, "ab"[i % 2], i / 4, i % 2] for i in range(40)]
  data = load(tables.write(tmp_path / "a.csv", ["n", "w", "n", "y"], rows))
  said = capsys.readouterr().out
  assert "column 3 is the second 'n': 'n.1' from here on" in said
  assert [one.name for one in data.table.numbers] == ["n", "n.1"]
  check_raw_rows(data, ["n", "w", "n.1", "y"], rows, tmp_path)


def test_ragged_rows(tmp_path):
  path = tmp_path / "a.csv"
  path.write_text('a,b,y\n1,"x\nx",p\n2,z,q\n3,q\n4,y,q\n')
  assert "line 5 has 2 cells, line 1 has 3" in refused(path)


@pytest.mark.parametrize(
  ("text", "line"),
  [
    ("", "has no rows: it is empty"),
    ("\n \n", "has no rows: it is empty"),
    ("a,b,y\n", "has no rows: only a header in line 1"),
    ("a,b,y\n1,2,p\n", "leaves 1 to train on"),
    ("a\n1\n2\n", "line 1 has one column"),
    ('a,y\n1,p\n2,"q\n', "is no CSV: line 3: unexpected end of data"),
    ("i,y\n" + "".join(f"w{i},{i % 2}\n" for i in range(9)), "no column is l"),
  ],
)
def test_files_without_anything_to_learn(tmp_path, text, line):
  path = tmp_path / "a.csv"
  path.write_text(text)
  assert line in refused(path)


def test_a_column_of_numbers_with_a_word_in_it(tmp_path):
  rows = [[i % 4, i, i % 2] for i in range(40)]
  rows[11][1] = "1O"
  path = tables.write(tmp_path / "a.csv", ["m", "n", "y"], rows)
  told = refused(path)
  assert "line 13 column 2 ('n') has '1O', no number" in told
  assert "--missing=MARK" in told and "--word_columns=n" in told
  assert np.isfinite(load(path, missing=("1o",)).x_train).all()
  assert load(path, words=("n",)).table.words[0].name == "n"
  assert "--drop_columns=k is no column; there are m, n" in refused(
    path, drop=("k",)
  )
  data = load(path, drop=("n",), label="m")
  assert data.x_train.shape[1] == 1 and data.classes == ("0", "1", "2", "3")


def test_words_that_pandas_would_read_as_something_else(tmp_path):
  words = ["007", "true", "TRUE", "1_0", "08"]
  rows = [[words[i % 5], i, i % 2] for i in range(60)]
  data = load(tables.write(tmp_path / "a.csv", ["w", "n", "y"], rows))
  assert sorted(data.table.words[0].vocabulary) == sorted(words)


def test_versions_are_no_dates(tmp_path):
  rows = [[f"1.2.{i % 3}", i, i % 2] for i in range(60)]
  data = load(tables.write(tmp_path / "a.csv", ["w", "n", "y"], rows))
  assert len(data.table.words[0].vocabulary) == 3


def test_a_table_without_a_header(tmp_path):
  rows = [["sun" if i % 3 else "rain", "ab"[i % 2]] for i in range(40)]
  path = tables.write(tmp_path / "a.csv", None, rows)
  data = load(path)
  assert len(data.x_train) + len(data.x_val) == 40
  assert data.table.words[0].name == "column_1"
  assert len(load(path, header="yes").x_train) == 29
  tables.write(path, ["weather", "y"], rows)
  assert load(path).table.words[0].name == "weather"
  rows = [[*row[:1], i, *row[1:]] for i, row in enumerate(rows)]
  data = load(tables.write(path, ["weather", "1990", "y"], rows))
  assert data.table.numbers[0].name == "1990"
  assert len(load(tables.write(path, None, rows)).x_train) == 30


def test_several_files_and_gz(tmp_path):
  head, rows = tables.passengers(90)
  whole = load(tables.write(tmp_path / "all.csv", head, rows))
  for i in range(3):
    part = rows[30 * i : 30 * i + 30]
    tables.write(tmp_path / f"part{i}.csv", head, part)
  (tmp_path / "all.csv.gz").write_bytes(
    gzip.compress((tmp_path / "all.csv").read_bytes())
  )
  names = ",".join(str(tmp_path / f"part{i}.csv") for i in range(3))
  for path in (names, tmp_path / "part*.csv", tmp_path / "all.csv.gz"):
    data = load(path)
    np.testing.assert_array_equal(data.x_train, whole.x_train)
    assert data.table == whole.table
  tables.write(tmp_path / "part1.csv", ["other", *head[1:]], rows[30:60])
  assert "part1.csv has the columns other,Name" in refused(
    tmp_path / "part*.csv"
  )
  tables.write(tmp_path / "part1.csv", head, [["", *rows[3][1:-1], ""]])
  assert "part1.csv: line 2 column 7" in refused(tmp_path / "part*.csv")
  assert "is not a file" in refused(tmp_path / "no*.csv")
  (tmp_path / "b.csv.gz").write_bytes(b"1,2\n")
  assert "is no whole .gz file" in refused(tmp_path / "b.csv.gz")


def test_a_large_number_keeps_its_digits_in_the_saved_model(tmp_path):
  rows = [[1_700_000_000 + i, "ab"[i % 2], 5 + i / 8] for i in range(64)]
  head = ["t", "w", "y"]
  data = load(tables.write(tmp_path / "a.csv", head, rows))
  assert data.offset == () and len(np.unique(data.x_train[:, 0])) == 48
  loop = trained(data)
  held = tables.held_out(64, FRACTION)
  raw = tables.raw(data, head, [rows[i] for i in held])
  data.in_units(loop.model).save(tmp_path / "model.keras")
  model = keras.saving.load_model(tmp_path / "model.keras")
  found = model(raw)  # predict() would make it float32
  own = loop.model.predict(data.x_val, verbose=0)
  own = own * np.float32(data.scale) + np.float32(data.mean)
  np.testing.assert_allclose(found, own, rtol=1e-5)


def test_many_words_are_embedded_at_low_precision_too(tmp_path):
  rows = [[f"w{i % 300}", i % 2, "ab"[i % 2]] for i in range(1200)]
  path = tables.write(tmp_path / "a.csv", ["w", "n", "y"], rows)
  data = load(path)
  assert len(data.table.words[0].vocabulary) > 256
  spread = data.table.spread(data.moments)
  keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    low = data.table.spread(data.moments)
    low.set_weights(spread.get_weights())
    found = np.array(low(data.x_val), np.float32)
  finally:
    keras.config.set_dtype_policy("float32")
  # bfloat16 has 8 bits: places above 256 would be those of other words.
  np.testing.assert_allclose(found, spread(data.x_val), rtol=1e-2, atol=1e-3)


def test_parquet(tmp_path):
  pytest.importorskip("pyarrow")
  head, rows = tables.passengers(90)
  whole = load(tables.write(tmp_path / "a.csv", head, rows))
  frame = pd.read_csv(tmp_path / "a.csv")
  frame.to_parquet(tmp_path / "a.parquet")
  data = load(tmp_path / "a.parquet", "parquet")
  np.testing.assert_array_equal(data.x_train, whole.x_train)
  assert data.table == whole.table and data.classes == whole.classes
  frame["when"], frame["on"] = pd.Timestamp("2020-01-02"), frame["Age"] > 9
  frame.to_parquet(tmp_path / "a.parquet")
  path = tmp_path / "a.parquet"
  assert "row 1 column 8 ('when') has '2020-01-02 00:00:00', a" in refused(
    path, kind="parquet"
  )
  data = load(path, "parquet", dates="number", label="Survived")
  assert [n.name for n in data.table.numbers] == ["Id", "Age", "when", "on"]
  path.write_bytes(b"PAR1")
  assert "is no Parquet" in refused(path, kind="parquet")


def test_without_pandas(tmp_path, monkeypatch):
  path = tables.write(tmp_path / "a.csv", None, [[1, 2]] * 9)
  monkeypatch.setitem(sys.modules, "pandas", None)
  assert refused(path) == "--dataset=csv needs pandas: pip install pandas"


def test_the_command_says_and_writes_the_classes(tmp_path):
  head, rows = tables.passengers()
  tables.write(tmp_path / "mine.csv", head, rows)
  flags = ("--dataset=csv", "--data_path=mine.csv", "--drop_columns=Id")
  done = commands.forked(
    *flags, "--epochs=15", "--workdir=run", "--compile=graph", cwd=tmp_path
  )
  assert done.returncode == 0, done.stderr
  assert "classes   0 = did not live, 1 = lived on\n" in done.stdout
  assert "columns   1 of numbers (1 with missing values" in done.stdout
  assert "wrote model.keras, classes.txt and result.json" in done.stdout
  result = json.loads((tmp_path / "run" / "result.json").read_text())
  classes = (tmp_path / "run" / "classes.txt").read_text().splitlines()
  assert result["classes"] == classes == ["did not live", "lived on"]
  assert result["metrics"]["accuracy"] > 0.85
  model = keras.saving.load_model(tmp_path / "run" / "model.keras")
  women = {"Sex": ["female", "male"], "Embarked": ["S", ""], "Age": [30.0, 30]}
  assert sorted(result["columns"]) == sorted(women)  # neither Id nor label
  women = {name: np.array(value) for name, value in women.items()}
  female, male = np.array(model(women))[:, 0]
  assert female > 0.8 and male < 0.2


@pytest.mark.parametrize(
  ("flags", "line"),
  [
    (["--dataset=npz", "--separator=;"], "--separator has no effect with --da"),
    (
      ["--dataset=digits", "--dates=drop"],
      "--dates has no effect with --datas",
    ),
    (["--dataset=csv", "--encoding=klingon"], "must be an encoding that Pytho"),
    (["--dataset=csv", "--separator=ab"], "must be one character, tab or spac"),
    (["--dataset=csv", "--data_path=a.csv,b.csv"], "--data_path=b.csv is not "),
    (["--dataset=csv", "--label_column=k"], "--label_column=k is no column; t"),
  ],
)
def test_flags_that_can_not_be(tmp_path, flags, line):
  path = tables.write(tmp_path / "a.csv", ["n", "y"], [[1, 2], [2, 3]] * 9)
  if flags[0] == "--dataset=npz":
    np.savez(tmp_path / "a.npz", x_train=np.ones(3))
    path = tmp_path / "a.npz"
  if "digits" not in flags[0] and not any("data_path" in f for f in flags):
    flags = [*flags, f"--data_path={path}"]
  done = commands.forked(*flags, "--workdir=run", cwd=tmp_path)
  assert done.returncode == 2
  lines = commands.error_lines(done)
  assert len(lines) == 1 and line in lines[0]
  assert not (tmp_path / "run").exists()


READ = """
import resource, sys
from training import table_options, table_reader
table_reader.read("csv", [sys.argv[1]], table_options.Options(dates="number"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_of(code, path):
  """Kilobytes that a process took which reads a table."""
  paths = f"{commands.ROOT}:{commands.ROOT / 'scripts'}"
  done = subprocess.run(
    [sys.executable, "-c", code, str(path)],
    env={"PYTHONPATH": paths, "PATH": ""},
    capture_output=True,
    text=True,
    check=True,
  )
  return int(done.stdout.splitlines()[-1])


def test_100_000_rows_take_little_memory(tmp_path):
  path, empty = tmp_path / "a.csv", tmp_path / "b.csv"
  tables.write_large(path, 100_000)
  tables.write_large(empty, 100)
  assert peak_of(READ, path) - peak_of(READ, empty) < 220_000


@pytest.mark.long
def test_two_million_rows_within_1500_megabytes(tmp_path):
  tables.write_large(tmp_path / "a.csv", 2_000_000)
  done = commands.train(
    "--dataset=csv",
    "--data_path=a.csv",
    "--dates=number",
    "--epochs=1",
    "--batch_size=2000",
    "--workdir=run",
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
  assert peak < 1_500_000
  result = json.loads((tmp_path / "run" / "result.json").read_text())
  assert result["metrics"]["accuracy"] > 0.9
