"""Keras callbacks: called as `Model.fit` calls them, or refused in a line."""

import csv

import keras
import numpy as np
import pytest

from support import small


class Recorder(keras.callbacks.Callback):
  """Writes down what is called, and the names in the logs."""

  def __init__(self):
    super().__init__()
    self.calls = []

  def on_train_begin(self, logs=None):
    assert isinstance(self.model, keras.Model) and self.params["epochs"] == 3
    self.calls.append(("train_begin", None, set(logs or ())))

  def on_train_end(self, logs=None):
    self.calls.append(("train_end", None, set(logs or ())))

  def on_epoch_begin(self, epoch, logs=None):
    self.calls.append(("epoch_begin", epoch, set(logs or ())))

  def on_epoch_end(self, epoch, logs=None):
    assert all(isinstance(value, float) for value in logs.values())
    self.calls.append(("epoch_end", epoch, set(logs)))


class Halves(keras.callbacks.Callback):
  """A scheduler of somebody's own."""

  def on_epoch_end(self, epoch, logs=None):
    optimizer = self.model.optimizer
    optimizer.learning_rate = float(optimizer.learning_rate) / 2


class Enough(keras.callbacks.Callback):
  def on_epoch_end(self, epoch, logs=None):
    self.model.stop_training = epoch == 1


class EachTest(keras.callbacks.Callback):
  def on_test_batch_end(self, batch, logs=None):
    pass


class Batches(keras.callbacks.Callback):
  """Writes down batches and the loss so far."""

  def __init__(self):
    super().__init__()
    self.calls, self.logs = [], []

  def on_epoch_begin(self, epoch, logs=None):
    self.calls.append(("epoch", epoch))

  def on_train_batch_begin(self, batch, logs=None):
    self.calls.append(("begin", batch))

  def on_train_batch_end(self, batch, logs=None):
    self.calls.append(("end", batch))
    self.logs.append(logs)


class Bars(keras.callbacks.Callback):
  """As tqdm.keras.TqdmCallback: the hooks are set when it is made, or later."""

  def __init__(self, late):
    super().__init__()
    self.seen, self.late = [], late
    self.on_epoch_end = self._hook("epoch")
    if not late:
      self.on_batch_end = self._hook("batch")

  def _hook(self, name):
    return lambda at, logs=None: self.seen.append((name, at, sorted(logs)))

  def on_train_begin(self, *_, **__):
    pass

  def on_epoch_begin(self, epoch, *_, **__):
    if self.late:
      self.on_batch_end = self._hook("batch")


def test_the_calls_are_those_of_fit(tmp_path):
  ours, theirs, seen = Recorder(), Recorder(), []
  path = tmp_path / "log.csv"
  loop = small.loop(
    callbacks=[
      ours,
      keras.callbacks.CSVLogger(path),
      keras.callbacks.LambdaCallback(on_epoch_end=lambda e, _: seen.append(e)),
    ],
    compile="graph",
  )
  history = loop.fit(small.data(), 3, validation=small.data(16, 16))
  x, y = small.arrays()
  net = small.model()
  net.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
  validation = small.arrays(16)
  net.fit(x, y, 8, 3, 0, callbacks=[theirs], validation_data=validation)
  assert ours.calls == theirs.calls
  assert seen == [0, 1, 2]
  with open(path, encoding="utf-8") as file:
    table = list(csv.DictReader(file))
  for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
    found = [float(row[name]) for row in table]
    np.testing.assert_array_equal(found, history.epochs[name])


class AsGiven(keras.callbacks.Callback):
  """Notes every call of a hook as it comes."""

  def __init__(self):
    super().__init__()
    self.calls = []

  def set_model(self, model):
    super().set_model(model)
    self.calls.append(("set_model", self.params))

  def __getattribute__(self, name):
    if name not in ("on_train_begin", "on_train_end", "on_epoch_begin",
                    "on_epoch_end"):  # fmt: skip
      return super().__getattribute__(name)

    def hook(*arguments, **options):
      shown = [list(a) if isinstance(a, dict) else a for a in arguments]
      self.calls.append((name, shown, options))

    return hook


def keras_fit(callbacks):
  x, y = small.arrays()
  net = small.model()
  net.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
  net.fit(x, y, 8, 2, 0, callbacks=callbacks)


def test_arguments_come_in_the_form_that_keras_has():
  ours, theirs = AsGiven(), AsGiven()
  small.loop(callbacks=[ours], compile="graph").fit(small.data(), 2)
  keras_fit([theirs])
  assert ours.calls == theirs.calls
  assert ours.params == theirs.params
  assert ours.calls[1] == ("on_train_begin", [[]], {})


class OtherNames(keras.callbacks.Callback):
  """No default, other names, any number: all that Keras' way of calling has."""

  seen = ()

  def on_train_begin(self, what):
    self.seen = [what]

  def on_epoch_begin(self, e, /, *rest):
    self.seen.append((e, *rest))

  def on_epoch_end(self, e, l=None, *, unused=1):  # noqa: E741
    self.seen.append((e, sorted(l)))

  def on_train_end(self, *everything):
    self.seen.append([sorted(one) for one in everything])


def test_hooks_of_any_names_are_called():
  def note(*arguments):
    noted.append(arguments)

  ours, theirs = OtherNames(), OtherNames()
  for run in (
    lambda given: small.loop(callbacks=given, compile="graph").fit(
      small.data(), 2
    ),
    keras_fit,
  ):
    noted = []
    names = ("on_epoch_begin", "on_epoch_end")
    lambdas = {name: lambda epoch, logs: note(epoch, list(logs))
               for name in names}  # fmt: skip
    names = ("on_train_begin", "on_train_end")
    lambdas |= {name: lambda logs: note(list(logs)) for name in names}
    run([
      ours if run is not keras_fit else theirs,
      keras.callbacks.LambdaCallback(**lambdas),
    ])  # fmt: skip
    assert noted == [
      ([],),
      (0, []),
      (0, ["accuracy", "loss"]),
      (1, []),
      (1, ["accuracy", "loss"]),
      (["accuracy", "loss"],),
    ]
  assert ours.seen == theirs.seen and len(ours.seen) == 6


def test_what_one_puts_in_the_logs_the_next_one_sees():
  class Adds(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs):
      logs["mine"] = epoch

  seen = []
  last = keras.callbacks.LambdaCallback(
    on_epoch_end=lambda epoch, logs: seen.append(logs["mine"]),
    on_train_end=lambda logs: seen.append("mine" in logs),
  )
  small.loop(callbacks=[Adds(), last], compile="graph").fit(small.data(), 2)
  keras_fit([Adds(), last])
  assert seen == [0, 1, False] * 2


def test_a_changed_optimizer_is_told_and_nothing_is_lost(tmp_path):
  loop = small.loop(callbacks=[Halves()], workdir=tmp_path, compile="graph")
  text = "`callbacks` must be one that leaves the optimizer's learning_rate to"
  with pytest.raises(ValueError, match=f"{text} `schedule=`; got 'Halves.on_"):
    loop.fit(small.data(), 3)
  assert loop.history.epochs["epoch"].tolist() == [1]
  loop = small.loop(callbacks=[Enough()], workdir=tmp_path, compile="graph")
  history = loop.fit(small.data(), 3)
  assert loop.resumed_from == [12]
  # Their own wish to stop is that of `TrainLoop.stop`.
  assert history.stop_reason == "preempted"
  assert history.epochs["epoch"].tolist() == [1, 2]


class Tests(keras.callbacks.Callback):
  """Writes down validations, and the epochs behind them."""

  def __init__(self):
    super().__init__()
    self.calls = []

  def on_test_begin(self, logs=None):
    self.calls.append("begin")

  def on_test_end(self, logs=None):
    self.calls.append(logs)

  def on_epoch_end(self, epoch, logs=None):
    self.calls.append({k[4:]: v for k, v in logs.items() if "val_" in k})


def test_validations_are_told_of_as_keras_tells():
  told = Tests()
  loop = small.loop(callbacks=[told], compile="graph")
  loop.fit(small.data(), 2, validation=small.validation())
  assert told.calls[::3] == ["begin"] * 2
  assert told.calls[1::3] == told.calls[2::3]
  assert set(told.calls[1]) == {"loss", "accuracy"}


def test_keras_own_progress_bar_goes(capsys):
  bar = keras.callbacks.ProgbarLogger()
  loop = small.loop(callbacks=[bar], compile="graph")
  loop.fit(small.data(), 2, validation=small.validation())
  told = capsys.readouterr().out
  assert "Epoch 2/2" in told and "12/12" in told and "val_loss" in told


@pytest.mark.parametrize(
  ("callback", "told"),
  [
    (
      lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
      r"read; use `schedule=`; got 'LearningRateScheduler'",
    ),
    (keras.callbacks.ReduceLROnPlateau, "use `reduce_on_plateau=trainloop.R"),
    (keras.callbacks.EarlyStopping, "use `early_stopping=trainloop.EarlyS"),
    (lambda: keras.callbacks.BackupAndRestore("b"), "read; use `workdir=`"),
    (lambda: keras.callbacks.ModelCheckpoint("m.keras"), "use `workdir=`, or"),
    (keras.callbacks.SwapEMAWeights, "use `average=trainloop.EMA"),
    (keras.callbacks.TerminateOnNaN, "read; use `on_nonfinite=`"),
    (lambda: keras.callbacks.TensorBoard("logs"), "read; use `workdir=`"),
    (EachTest, "without on_test_batch_end, which is never called here"),
    (
      lambda: keras.callbacks.LambdaCallback(on_train_batch_end=lambda b: 0),
      r"must be a method that takes \(batch, logs\), as Keras calls it; got",
    ),
    (
      lambda: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch: 0),
      r"must be a method that takes \(epoch, logs\), as Keras calls it; got",
    ),
    (
      lambda: keras.callbacks.LambdaCallback(on_train_begin=lambda: 0),
      r"`LambdaCallback.on_train_begin` must be a method that takes \(logs\)",
    ),
    (
      lambda: keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *, epoch, logs: 0
      ),
      r"`LambdaCallback.on_epoch_begin` must be a method that takes \(epoch",
    ),
    (lambda: print, "must be a list of keras.callbacks.Callback; got 'buil"),
  ],
)
def test_what_cannot_be_served_is_refused(callback, told, tmp_path):
  with pytest.raises(ValueError, match=told) as caught:
    small.loop(
      callbacks=[callback()], workdir=tmp_path / "new", compile="graph"
    )
  assert "\n" not in str(caught.value)
  assert not (tmp_path / "new").exists()


def test_they_come_in_a_list():
  with pytest.raises(ValueError, match="must be a list of keras"):
    small.loop(callbacks=Recorder(), compile="graph")


@pytest.mark.parametrize("compile", ["xla", "graph"])
def test_batches_come_once_a_window_as_under_steps_per_execution(compile):
  ours, theirs = Batches(), Batches()
  loop = small.loop(callbacks=[ours], compile=compile, steps_per_loop=5)
  history = loop.fit(small.data(shuffle=False), 2)
  x, y = small.arrays()
  net = small.model()
  net.compile(keras.optimizers.SGD(0.1, momentum=0.9),
              "sparse_categorical_crossentropy",
              steps_per_execution=4)  # fmt: skip
  net.fit(x, y, 8, 2, 0, callbacks=[theirs], shuffle=False)
  ends = [("begin", 0), ("end", 4), ("begin", 5), ("end", 9), ("begin", 10),
          ("end", 11)]  # fmt: skip
  assert ours.calls == [("epoch", 0), *ends, ("epoch", 1), *ends]
  losses = history.rows["loss"]
  for i, logs in enumerate(ours.logs):
    first, last = i // 3 * 12, i // 3 * 12 + (5, 10, 12)[i % 3]
    np.testing.assert_allclose(logs["loss"], losses[first:last].mean(), 1e-6)
    assert logs["learning_rate"] == history.rows["learning_rate"][last - 1]
    assert logs["momentum"] == history.rows["momentum"][last - 1]
  # Where both end a window their losses agree.
  np.testing.assert_allclose(ours.logs[2]["loss"], theirs.logs[2]["loss"], 1e-5)
  assert theirs.calls[:3] == [("epoch", 0), ("begin", 0), ("end", 3)]


def test_reading_batches_changes_no_bit():
  plain = small.loop(compile="graph", steps_per_loop=5)
  read = small.loop(callbacks=[Batches()], compile="graph", steps_per_loop=5)
  for one in (plain, read):
    one.fit(small.data(), 3)
  assert small.state_of(plain) == small.state_of(read)


@pytest.mark.parametrize("late", [False, True])
def test_bars_of_the_kind_of_tqdm(late):
  bars = Bars(late)
  small.loop(callbacks=[bars], compile="graph", steps_per_loop=6).fit(
    small.data(), 2
  )
  names = ["learning_rate", "loss", "momentum"]
  batches = [("batch", 5, names), ("batch", 11, names)]
  ends = [("epoch", i, ["accuracy", "loss"]) for i in range(2)]
  assert bars.seen == [*batches, ends[0], *batches, ends[1]]


def test_tqdm_itself(capfd):
  tqdm_keras = pytest.importorskip("tqdm.keras")
  bars = tqdm_keras.TqdmCallback(verbose=2)
  small.loop(callbacks=[bars], compile="graph", steps_per_loop=6).fit(
    small.data(), 2
  )
  shown = "".join(capfd.readouterr())
  assert "2/2" in shown and "learning_rate" in shown


def test_a_batch_can_end_the_fit_and_may_not_move_the_rate():
  class Stops(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
      self.model.stop_training = batch >= 5

  history = small.loop(
    callbacks=[Stops()], compile="graph", steps_per_loop=3
  ).fit(small.data(), 2)
  assert len(history.rows["loss"]) == 6

  class Moves(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
      self.model.optimizer.learning_rate = 0.5

  with pytest.raises(ValueError, match=r"Moves.on_train_batch_end"):
    small.loop(callbacks=[Moves()], compile="graph").fit(small.data(), 2)
