"""Tables as people have them, written by tests, and their raw rows."""

import csv
import math

import numpy as np

MISSING = ("", "NA", "?")


def passengers(count=240):
  """Header and rows like the Titanic's: quotes, missing ages, names, tickets,
  and a label with spaces that hangs on sex and age."""
  rng, rows = np.random.default_rng(1), []
  for i in range(count):
    sex, age = rng.choice(["male", "female"]), rng.integers(1, 80) / 2
    alive = (sex == "female") + rng.normal(0, 0.3) + (age < 8) > 0.5
    rows.append(
      [
        i + 1,
        f'Braund, Mr. "Owen" {i}',
        sex,
        "" if i % 5 == 0 else age,
        f"{('', 'A/5 ')[i % 2]}{rng.integers(1e5)}",
        rng.choice(["S", "C", "Q", ""]),
        ("did not live", "lived on")[int(alive)],
      ]
    )
  head = ["Id", "Name", "Sex", "Age", "Ticket", "Embarked", "Survived"]
  return head, rows


def write(path, head, rows, encoding="utf-8", separator=","):
  """Writes a CSV file; returns its path."""
  with open(path, "w", encoding=encoding, newline="") as file:
    table = csv.writer(file, delimiter=separator)
    table.writerows([head, *rows] if head else rows)
  return path


def raw(data, head, rows):
  """{column: array} of rows as a model of `datasets.Data` takes them."""
  columns = dict(zip(head, zip(*rows, strict=True), strict=True))
  numbers = {one.name: columns[one.name] for one in data.table.numbers}
  words = {one.name: columns[one.name] for one in data.table.words}
  return {
    name: np.array([number(cell) for cell in cells])
    for name, cells in numbers.items()
  } | {
    name: np.array(["" if c in MISSING else str(c) for c in cells], object)
    for name, cells in words.items()
  }


def number(cell):
  """A cell as a float: NaN where it is missing."""
  return math.nan if cell in MISSING else float(str(cell).replace(",", "."))


def held_out(count, fraction):
  """Which rows are the validation part, in its order."""
  order = np.random.default_rng(0).permutation(count)
  return order[: round(count * fraction)]


def write_large(path, rows):
  """A table of eight numbers, words, times, ids and a label of two words."""
  rng = np.random.default_rng(0)
  with open(path, "w", encoding="utf-8") as file:
    file.write(",".join(f"x{i}" for i in range(8)))
    file.write(",city,when,id,label\n")
    for start in range(0, rows, 10_000):
      x = rng.normal(0, 2, (10_000, 8)).round(3)
      town = rng.integers(0, 300, 10_000)
      seconds = rng.integers(0, 86_400, 10_000)
      for i in range(min(10_000, rows - start)):
        cells = x[i].tolist()
        cells[3] = cells[3] if i % 9 else ""
        s, label = seconds[i], ("no", "yes it is")[int(x[i, 0] > 0)]
        time = f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}"
        day = f"2020-{i % 12 + 1:02}-{i % 28 + 1:02} {time}"
        file.write(",".join(map(str, cells)))
        file.write(f",town {town[i]},{day},u{start + i},{label}\n")
