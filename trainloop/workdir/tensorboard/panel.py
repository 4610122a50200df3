"""What TensorBoard shows of a fit besides its curves."""

import dataclasses
import shlex
import sys

import tensorflow as tf

from kernels import combined
from kernels.steps import Steps
from trainloop.data import structures
from trainloop.workdir import hparams, speed
from trainloop.workdir.tensorboard import event_file

# The text page shows a hundred of a kind.
_MOST_RESTARTS = 100
_LONGEST = 4000  # characters of a command


@dataclasses.dataclass(frozen=True)
class Panel:
  """What a run's page says of one fit.

  Attributes:
    hparams: {name: number, str or bool}; see `hparams.of`.
    directions: see `directions.of_metrics`.
    layout: see `plugin_summaries.layout`.
    schedule: the resolved schedule, Markdown.
    groups: the parameter groups, Markdown; "" without.
    restarts: ascending global steps at which a cycle starts, the first
      hundred.
    graph: the model's GraphDef, bytes, or None.
  """

  hparams: dict
  directions: dict
  layout: dict
  schedule: str
  groups: str = ""
  restarts: tuple = ()
  graph: bytes | None = None


def of(trainee, engine, plan, identity, schedule, source, extras):
  """The `Panel` of a fit.

  Args:
    trainee: the loop's `Trainee`, built.
    engine: the `Engine` that compiles.
    plan: its `FitPlan`.
    identity: see `hparams.of`.
    schedule: its `kernels.Schedule`.
    source: its data source.
    extras: the loop's `Extras`.
  """
  begun = plan.schedule_start
  starts = Steps.of(schedule.cycle_starts(plan.end - begun)).shifted(begun)
  starts = starts.within(plan.start, plan.end)
  binding = trainee.binding
  moves = schedule.moves_momentum or binding.momentum is not None
  return Panel(
    hparams=hparams.of(identity, extras.hparams),
    directions=trainee.objective.directions,
    layout=layout(trainee.objective.names, moves, binding.layout.further),
    schedule=schedule_text(engine, plan, schedule, starts),
    groups=groups_text(trainee),
    restarts=tuple(starts[:_MOST_RESTARTS]),
    graph=graph(trainee.model, source.example[0]) if extras.graph else None,
  )


def graph(model, x):
  """The GraphDef of a model's forward pass, bytes.

  Args:
    model: a keras.Model.
    x: inputs of some examples, whose number is left open.
  """

  def spec(leaf):
    if structures.is_composite(leaf):
      return tf.type_spec_from_value(leaf)
    return tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype)

  forward = tf.function(lambda x: model(x, training=False), autograph=False)
  traced = forward.get_concrete_function(structures.map_leaves(spec, x))
  return traced.graph.as_graph_def().SerializeToString()


def layout(metrics, has_momentum, further=()):
  """Rates over the loss, and training against validation.

  Args:
    metrics: names of the metrics.
    has_momentum: whether there is a momentum to show.
    further: names of further hyperparameters.
  """
  rates = {"learning rate": [event_file.LEARNING_RATE]}
  if has_momentum:
    rates["momentum"] = [event_file.MOMENTUM]
  rates |= {name: [event_file.tag_of(name)] for name in further}
  rates |= {"loss": ["loss"], "gradient norm": ["grad_norm"]}
  both = {"loss": [event_file.EPOCH_LOSS]}
  both |= {name: [name] for name in metrics if name != "loss"}
  return {
    "learning rate over loss": rates,
    "train against validation": both,
    "speed": {tag.partition("/")[2]: [tag] for tag in speed.TAGS},
  }


def schedule_text(engine, plan, schedule, starts):
  """A fit's schedule and every duration in steps, as Markdown."""
  rows = {
    "steps": f"{plan.start} to {plan.end}",
    "epochs": f"{plan.epochs} of {plan.steps_per_epoch} steps",
    "schedule begins": f"step {plan.schedule_start}",
    "warmup ends": f"step {plan.warm_until}",
    "cycles start": _listed(starts) if starts else "no restarts",
    "validation": f"every {plan.validate_steps} steps",
    "checkpoint": f"every {plan.checkpoint_steps} steps",
    "engine": f"{engine.name}, {engine.reason}",
  }
  own, beside = combined.parts_of(schedule)
  rows |= {name: f"`{kernel!r}`" for name, kernel in beside.items()}
  lines = [f"`{own!r}`", "", "| | |", "|---|---|"]
  return "\n".join(lines + [f"| {k} | {v} |" for k, v in rows.items()])


def groups_text(trainee):
  """The parameter groups of a `Trainee` as a Markdown table; "" without."""
  rows = trainee.binding.groups.table(trainee.model.trainable_variables)
  if not rows:
    return ""
  head, *shown = [f"| {' | '.join(row)} |" for row in rows]
  return "\n".join([head, "|---" * len(rows[0]) + "|", *shown])


def _listed(steps):
  shown = ", ".join(map(str, steps[:20]))
  more = f" ... ({len(steps)})" if len(steps) > 20 else ""
  return f"steps {shown}{more}"


def command():
  """The command of this process, Markdown."""
  text = shlex.join(sys.orig_argv)
  text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
  return f"```\n{text}\n```"
