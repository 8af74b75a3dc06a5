"""The versions of the libraries of a training: those of its plan, and those that the trainer has."""

from __future__ import annotations

import re

from windows import LABEL

from perennial.config.candidates import FAMILIES
from perennial.config.label import NumberLabel
from perennial.train.candidates import installed_for, versions_for
from stack.config import REPO

WITH_INTERVAL = NumberLabel(column="minutes", predict="mean", interval=0.9)


def test_a_training_of_pytorch_is_planned_with_the_versions_of_its_lock() -> None:
    lock = (REPO / "include/images/trainer/requirements-torch.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    for label in (LABEL, WITH_INTERVAL):
        planned = versions_for("pytorch", label)
        assert {name: pinned.get(name) for name in planned} == planned
    assert "tensorflow-cpu" not in pinned


def test_the_control_plane_has_the_libraries_of_all_other_families() -> None:
    lacking = {name: versions_for(name, LABEL).keys() - installed_for(name, LABEL).keys() for name in FAMILIES}
    assert {name: libraries for name, libraries in lacking.items() if libraries} == {"pytorch": {"torch"}}
    assert all(versions_for(name, LABEL) == installed_for(name, LABEL) for name in FAMILIES if name != "pytorch")
