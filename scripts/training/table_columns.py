"""One column of a table, from pieces of it: numbers, dates or words."""

import dataclasses
import re
import warnings

import numpy as np
import pandas as pd

from training import cells

MOST_WORDS = 100_000  # different ones in a column; more are ids, or texts
_LARGEST = float(np.finfo(np.float32).max)
_DATE = re.compile(
  r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))"
  r"([T ].*)?"
)
_PAIR = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.]")


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
  """A column as it was read.

  Attributes:
    name: as the header has it.
    place: which one it is, from 1.
    kind: "numbers", "dates" (as days since 1970), "words", or "empty".
    values: float64, NaN where missing; of words int32 (rows,), where each
      stands in `words`, -1 where missing.
    words: the different words, in order of the rows.
  """

  name: str
  place: int
  kind: str
  values: np.ndarray
  words: tuple = ()


class Gatherer:
  """Takes a column's pieces and tells what it holds.

  Attributes:
    good, bad: cells that are numbers or dates, and that are neither.
    odd: the first row of the second kind, or None.
    bad_number: the first row whose number float32 has not, or None.
    crowded: whether it has more than MOST_WORDS different words.
  """

  def __init__(self, rows, decimal, missing, as_words=False):
    """Begins a column.

    Args:
      rows: how many come.
      decimal: "." or ",".
      missing: marks of a missing value, in lower case.
      as_words: whether it is words, whatever they look like.
    """
    self.good = self.bad = 0
    self.odd = self.bad_number = None
    self.crowded = False
    self._decimal, self._missing = decimal, frozenset(missing)
    self._as_words, self._lost = as_words, False
    self._kinds, self._words, self._seen = set(), {}, 0
    # Of all rows at once: pieces would leave holes in the memory.
    self._values = self._codes = None
    self._rows = rows
    self._day_first = None

  def add(self, piece):
    """Takes the next rows, a `pandas.Series`."""
    if piece.dtype.kind == "M":
      self._numbers("dates", _days(piece))
    elif piece.dtype.kind in "iuf" and not self._as_words:
      self._numbers("numbers", piece.to_numpy(np.float64, na_value=np.nan))
    else:
      self._lost |= piece.dtype.kind == "b"  # TRUE and true are one there
      self._texts(piece)
    self._seen += len(piece)

  @property
  def is_mixed(self):
    """Whether its pieces differ, so that it has to be read as words."""
    return not self._as_words and (len(self._kinds) > 1 or self._lost)

  def column(self, name, place):
    """The `Column` of all pieces, which must not be mixed."""
    kind = next(iter(self._kinds), "empty")
    values = self._codes if kind == "words" else self._values
    if values is None:
      values = np.full(self._rows, np.nan)
    return Column(name, place, kind, values, tuple(self._words))

  def _numbers(self, kind, values):
    there = np.count_nonzero(~np.isnan(values))
    if not there:
      return
    self.good += there
    self._kinds.add(kind)
    if self._values is None:
      self._values = np.full(self._rows, np.nan)
    self._values[self._seen : self._seen + len(values)] = values
    bad = np.abs(values) > _LARGEST
    if self.bad_number is None and bad.any():
      self.bad_number = self._seen + int(bad.argmax())

  def _texts(self, piece):
    """What cells are that pandas has not read as numbers."""
    codes, texts = pd.factorize(piece.astype(object))
    texts = [str(text).strip() for text in texts]
    there = np.array([t.lower() not in self._missing for t in texts], bool)
    if self._as_words:
      return self._add_words(codes, texts, there)
    kind, values = self._parsed(texts, there)
    odd = there & np.isnan(values)
    if not odd.any():
      return self._numbers(kind, np.append(values, np.nan)[codes])
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    self.good += counts[there & ~odd].sum()
    self.bad += counts[odd].sum()
    if self.odd is None:
      self.odd = self._seen + int(np.append(odd, False)[codes].argmax())
    return self._add_words(codes, texts, there)

  def _add_words(self, codes, texts, there):
    known = self._words
    ids = [-1] * len(texts)
    if not self.crowded:
      ids = [
        known.setdefault(text, len(known)) if is_there else -1
        for text, is_there in zip(texts, there, strict=True)
      ]
    self.crowded = len(known) > MOST_WORDS
    if not there.any():
      return
    self._kinds.add("words")
    if self._codes is None:
      self._codes = np.full(self._rows, -1, np.int32)
    ids = np.array([*ids, -1], np.int32)[codes]
    self._codes[self._seen : self._seen + len(ids)] = ids

  def _parsed(self, texts, there):
    """("numbers" or "dates", values): NaN for what is none of them."""
    values, indices = np.full(len(texts), np.nan), np.flatnonzero(there)
    if sum(map(_is_date, (texts[i] for i in indices))) > 0.9 * len(indices):
      indices = [i for i in indices if _is_date(texts[i])]
      values[indices] = self._dates([texts[i] for i in indices])
      return "dates", values
    for i in indices:
      if cells.parses(texts[i], self._decimal):
        values[i] = float(texts[i].replace(self._decimal, "."))
    return "numbers", values

  def _dates(self, texts):
    """Texts as days since 1970; NaN for the 31st of February."""
    if self._day_first is None:
      self._day_first = _is_day_first(texts)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # of the order of day and month
      options = {"errors": "coerce", "utc": True}
      iso = pd.to_datetime(texts, format="ISO8601", **options)
      if not iso.isna().any():
        return _days(iso.to_series())
      order = {"format": "mixed", "dayfirst": self._day_first}
      return _days(pd.to_datetime(texts, **order, **options).to_series())


def _is_date(text):
  return _DATE.fullmatch(text) is not None


def _is_day_first(texts):
  """Whether 4/5 is the 4th of May: some first number is above 12, or no second
  one and there are points."""
  pairs = [match for match in map(_PAIR.match, texts) if match]
  first, second = (any(int(match[i]) > 12 for match in pairs) for i in (1, 2))
  return first or (not second and any("." in text for text in texts))


def _days(times):
  """A `pandas.Series` of times as days since 1970; NaN where missing."""
  if times.dt.tz is None:
    times = times.dt.tz_localize("UTC")
  start = pd.Timestamp(0, tz="UTC")
  return ((times - start) / pd.Timedelta(days=1)).to_numpy(np.float64)
