"""What a run says before its first update, and at its end."""

import keras
import numpy as np

import kernels
import trainloop
from support import small
from trainloop.display import results, summary


def test_a_schedule_without_its_defaults():
  assert summary.brief(kernels.OneCycle(0.1, 220)) == (
    "OneCycle(peak_lr=0.1, total_steps=220)"
  )
  joined = kernels.Warmup(kernels.Constant(0.5), 10)
  assert summary.brief(joined) == (
    "Warmup(schedule=Constant(learning_rate=0.5), warmup_steps=10)"
  )
  assert summary.brief(kernels.OneCycle(0.1, 22, momentum=None)) == (
    "OneCycle(peak_lr=0.1, total_steps=22, momentum=None)"
  )


def epochs(**columns):
  count = len(next(iter(columns.values())))
  found = {"epoch": np.arange(1, count + 1), **columns}
  return {name: np.asarray(values) for name, values in found.items()}


def test_a_table_of_the_last_and_the_best_epoch():
  found = epochs(
    loss=[0.5, 0.25, 0.125],
    a_metric_whose_name_does_not_fit_in=[1, 2, 3],
    val_loss=[1.0, 0.75, float("nan")],
  )
  assert results.table(found, 1) == [
    " " * 28 + "           epoch 3, last           epoch 2, best",
    " " * 28 + "       train  validation       train  validation",
    "loss" + " " * 24 + "       0.125           -        0.25        0.75",
    "a_metric_whose_name_does_n..           3           -           2"
    "           -",
  ]
  assert max(map(len, results.table(found, 1))) < 80
  assert results.table(epochs(loss=[0.5]), 0) == [
    "      epoch 1, last and best",
    "                       train",
    "loss                     0.5",
  ]


def test_a_run_tells_what_it_is_and_what_came_of_it(tmp_path, capsys):
  workdir = tmp_path / "a run"
  loop = small.loop(
    schedule=kernels.Constant(0.1),
    workdir=workdir,
    verbose=True,
    early_stopping=trainloop.EarlyStopping("val_loss", patience=1),
  )
  loop.fit(small.data(), epochs=2, validation=small.data())
  said = capsys.readouterr().out.splitlines()
  labels = [line.split()[0] for line in said]
  start = ["model", "devices", "judging", "engine", "run", "schedule", "logs"]
  assert labels[:7] == start
  weights = sum(w.size for w in loop.model.get_weights())
  assert f"{weights:,} parameters" in said[0]
  assert "CPU:0" in said[1] and "1 replica)" in said[1]
  assert "val_loss after 1 validation not better" in said[2]
  assert loop.engine.reason in said[3]
  assert f"tensorboard --logdir='{workdir}'" in said[6]
  assert "(every update, at most 0.00" in said[6]
  assert labels[7:] == [
    "epoch",
    "epoch",
    "completed",
    "epoch",
    "train",
    "loss",
    "accuracy",
    "best",
    "weights",
  ]
  best = loop.best
  assert f"{best['value']:.4g}, after step {best['step'] + 1}" in said[-2]
  loop.fit(small.data(), epochs=1, validation=small.data())
  again = capsys.readouterr().out.splitlines()
  labels = [line.split()[0] for line in again[:6]]
  assert labels == ["engine", "run", "schedule", "judging", "logs", "epoch"]
  assert again[3].endswith("goes on from fit 1")


def test_averages_are_told_of(capsys):
  for average, text in (
    (trainloop.EMA(0.9), "weights, decay 0.9, warmed up"),
    (trainloop.EMA(0.9, warmup=False), "weights, decay 0.9"),
    (trainloop.CycleAverage(), "weights at the ends of cycles"),
    (trainloop.ScheduleFree(), "schedule-free steps, beta 0.9"),
  ):
    cycles = kernels.CosineRestarts(0.1, 12)
    free = isinstance(average, trainloop.ScheduleFree)
    schedule = kernels.Constant(0.1) if free else cycles
    optimizer = keras.optimizers.SGD(0.1)
    options = {"schedule": schedule, "average": average, "verbose": True}
    loop = small.loop(None, optimizer, **options)
    loop.fit(small.data(), 1)
    said = capsys.readouterr().out.splitlines()
    (line,) = [line for line in said if line.startswith("average")]
    assert line == (
      f"average   of {text}: validated, judged and left at the end"
    )
    assert any(line.endswith("the averages") for line in said), said
