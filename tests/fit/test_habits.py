"""Ten first mistakes, and more: each is answered with the line to write."""

import keras
import numpy as np
import pytest

import trainloop
from support import small

X, Y = small.arrays()


def fit(**options):
  return lambda loop: loop.fit(small.data(), 1, **options)


# What was called: (the call, what the answer says).
MISTAKES = {
  "arrays": (lambda loop: loop.fit(X, Y, epochs=1),
             r"trainloop.ArrayData\(x, y, batch_size=32\)"),
  "arrays and a batch size": (lambda loop: loop.fit(X, Y, 32),
                              r"`fit` must be called as fit\(trainloop.Arr"),
  "a pair of arrays": (lambda loop: loop.fit((X, Y), 1),
                       r"write trainloop.ArrayData\(x, y, batch_size=32\)"),
  "arrays by name": (lambda loop: loop.fit(x=X, y=Y, epochs=1),
                     r"`x` must be in the data: fit\(trainloop.ArrayData"),
  "validation_data": (fit(validation_data=(X, Y)),
                      "`validation_data` must be written validation=valid"),
  "batch_size": (fit(batch_size=64),
                 r"`batch_size` must be given with the data: trainloop.Arr"),
  "verbose": (fit(verbose=0), r"TrainLoop\(..., verbose=0\); got 0"),
  "validation_split": (fit(validation_split=0.2), r"split\(0.2\), then fit"),
  "shuffle": (fit(shuffle=False), "shuffle=False"),
  "callbacks": (fit(callbacks=[]), r"TrainLoop\(..., callbacks=\[...\]\)"),
  "initial_epoch": (fit(initial_epoch=3), "workdir='run'"),
  "workers": (fit(workers=4), "`workers` must be given to the PyDataset"),
  "a misspelt argument": (fit(validaton=1), "must be written `validation`"),
  "the model": (lambda loop: loop.fit(loop.model, 1),
                "`data` must be an ArrayData, a batched tf.data.Dataset"),
  "evaluate on arrays": (lambda loop: loop.evaluate(X, Y),
                         r"`evaluate` must be called as evaluate\(trainl"),
  "predict by batches": (lambda loop: loop.predict(X, batch_size=32),
                         "`batch_size` must be given with the data"),
  "no length": (lambda loop: loop.fit(small.data()), "`epochs` must be"),
}  # fmt: skip


@pytest.fixture(scope="module")
def loop():
  return small.loop(compile="graph")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_first_mistake_is_answered_with_the_line(name, loop):
  call, told = MISTAKES[name]
  with pytest.raises(ValueError, match=told) as caught:
    call(loop)
  assert "\n" not in str(caught.value)
  assert loop.global_step == 0


@pytest.mark.parametrize(
  ("options", "told"),
  [
    ({"lr": 0.1}, r"`lr` must be in the optimizer, keras.optimizers.SGD\(0.1"),
    ({"epochs": 3}, r"`epochs` must be given to `fit`: fit\(data, epochs=3\)"),
    ({"validation_data": X}, "must be written validation=valid"),
    ({"log_dir": "x"}, r"TrainLoop\(..., workdir='run'\); got 'x'"),
    ({"steps_per_execution": 8}, "steps_per_loop=n"),
    ({"metric": ["accuracy"]}, "written `metrics`, an argument of TrainLoop"),
  ],
)
def test_an_argument_of_others_is_refused_by_the_loop(options, told):
  with pytest.raises(ValueError, match=told):
    small.loop(**options)


def test_what_nobody_can_have_meant_stays_a_type_error(loop):
  with pytest.raises(TypeError, match="unexpected keyword argument 'qqq'"):
    loop.fit(small.data(), 1, qqq=1)


def test_public_names_are_shown():
  assert set(trainloop.__all__) <= set(dir(trainloop))
  assert {"ArrayData", "TrainLoop"} <= set(dir(trainloop))


def one_output(activation=None):
  keras.utils.set_random_seed(0)
  return keras.Sequential([
    keras.Input((8,)), keras.layers.Dense(1, activation=activation)
  ])  # fmt: skip


@pytest.mark.parametrize(
  ("loss", "activation", "metric"),
  [
    ("binary_crossentropy", "sigmoid", "accuracy"),
    ("mse", None, "mae"),
    (keras.losses.Huber(), None, "mse"),
  ],
)
@pytest.mark.parametrize("compile", ["xla", "graph"])
def test_flat_labels_of_one_output_are_taken_and_said_once(
  loss, activation, metric, compile, capfd
):
  y = (Y > 0).astype("float32")
  weights = np.linspace(0.5, 1.5, len(Y)).astype("float32")
  found = []
  for labels in (y, y[:, None]):
    loop = trainloop.TrainLoop(
      lambda: one_output(activation), keras.optimizers.SGD(0.1), loss,
      metrics=[metric], weighted_metrics=[metric], verbose=1, compile=compile,
    )  # fmt: skip
    data = trainloop.ArrayData(X, labels, weights, batch_size=8)
    history = loop.fit(data, 2, validation=data)
    loop.fit(data, 1)
    found.append((small.state_of(loop), str(history.epochs)))
    text = "`y` of shape (examples,) is taken as (examples, 1)"
    count = "".join(capfd.readouterr()).count(f"warning: {text}")
    assert count == (labels is y)
  assert found[0] == found[1]


def test_flat_labels_of_a_loss_of_ones_own_name_the_line():
  with pytest.raises(ValueError, match=r"as y\[:, None\] is; got \(96,\)"):
    trainloop.TrainLoop(
      one_output(), "sgd", lambda y, p: (y - p) ** 2, verbose=0
    ).fit(small.data(), 1)


@pytest.mark.parametrize(("examples", "told"), [(100, True), (96, False)])
def test_the_summary_says_how_many_are_left_out(examples, told, capfd):
  loop = small.loop(verbose=1, compile="graph")
  loop.fit(small.data(examples, 32), 1)
  shown = "".join(capfd.readouterr())
  assert ("of 32 examples, 4 an epoch left out" in shown) == told


def test_a_check_refuses_what_the_fit_would_and_trains_nothing(tmp_path):
  loop = small.loop(workdir=tmp_path / "run", compile="graph")
  with pytest.raises(ValueError, match="`validate_every` must be at most"):
    small.loop(validate_every="200%", compile="graph", early_stopping=
               trainloop.EarlyStopping("val_loss")).check(
      small.data(), 1, validation=small.validation())  # fmt: skip
  loop.check(small.data(), 1, validation=small.validation())
  assert loop.global_step == 0 and not (tmp_path / "run").exists()
  plain = small.loop(compile="graph")
  for one in (plain, loop):
    one.fit(small.data(), 1, validation=small.validation())
  assert small.state_of(plain) == small.state_of(loop)
