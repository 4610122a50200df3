"""Summaries of TensorBoard's plugins, as serialised protos."""

import re

import tensorflow as tf
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.histogram import metadata as histogram
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary

STATUS = {
  "success": api_pb2.STATUS_SUCCESS,
  "failure": api_pb2.STATUS_FAILURE,
  "unknown": api_pb2.STATUS_UNKNOWN,
}


def text(tag, content):
  """A text as the text page shows it.

  Args:
    tag: str.
    content: str, Markdown.

  Returns:
    bytes of a Summary, like all functions here.
  """
  summary = summary_pb2.Summary()
  value = summary.value.add(tag=tag)
  value.metadata.plugin_data.plugin_name = "text"
  tensor = tf.make_tensor_proto([content.encode()])
  value.tensor.ParseFromString(tensor.SerializeToString())
  return summary.SerializeToString()


def layout(categories):
  """A layout of the page for custom scalars.

  Args:
    categories: {title: {chart's title: tags whose curves it holds}}; each
      chart shows them for all runs that have them.
  """
  found = layout_pb2.Layout()
  for title, charts in categories.items():
    category = found.category.add(title=title)
    for name, tags in charts.items():
      lines = category.chart.add(title=name).multiline
      lines.tag.extend(f"^{re.escape(tag)}$" for tag in tags)
  return custom_scalar.pb(found).SerializeToString()


def session_start(values, began):
  """The start of a session of the HParams page.

  Args:
    values: {name: number, str or bool}.
    began: wall time in seconds.
  """
  found = hparams_summary.session_start_pb(values, start_time_secs=began)
  return found.SerializeToString()


def session_end(status, ended):
  """The end of a session: one of `STATUS`, wall time in seconds."""
  found = hparams_summary.session_end_pb(STATUS[status], ended)
  return found.SerializeToString()


def histograms(tables):
  """Histograms: {tag: float64 (buckets, 3) of left, right, count}."""
  summary = summary_pb2.Summary()
  for tag, table in tables.items():
    value = summary.value.add(tag=tag)
    value.metadata.CopyFrom(histogram.create_summary_metadata("", ""))
    tensor = tf.make_tensor_proto(table, tf.float64)
    value.tensor.ParseFromString(tensor.SerializeToString())
  return summary.SerializeToString()
