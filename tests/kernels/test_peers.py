"""Tables taken from the public peers."""

import json
import pathlib

import numpy as np
import pytest

import kernels

TABLES = json.loads(
  (pathlib.Path(__file__).parent / "schedules.json").read_text()
)


@pytest.mark.parametrize("table", TABLES, ids=[t["id"] for t in TABLES])
def test_peer_table(table):
  make = getattr(kernels, table["kernel"])
  if table["preset"]:
    schedule = make.preset(table["preset"], **table["kwargs"])
  else:
    schedule = make(**table["kwargs"])
  rates, momenta = kernels.tabulate(schedule, np.array(table["steps"]))
  close = {"rtol": table["rtol"], "atol": table["atol"]}
  np.testing.assert_allclose(rates, table["lr"], **close)
  if table["momentum"] is not None:
    np.testing.assert_allclose(momenta, table["momentum"], **close)
