"""Experiment trackers: a task's story as JSON lines, always; in TensorBoard, MLflow or Weights & Biases if wanted."""

from shoal.track.keeper import Keeper, Position
from shoal.track.run import Record, RunFacts, Tracker
from shoal.track.specs import EXTRAS, check, make

__all__ = ["EXTRAS", "Keeper", "Position", "Record", "RunFacts", "Tracker", "check", "make"]
