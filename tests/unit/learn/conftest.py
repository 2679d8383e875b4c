"""Exports each family once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch

from shoal.learn.export import Exported, export_model

from .families import FAMILIES


@cache
def _export(name: str) -> Exported:
    family = FAMILIES[name]
    torch.manual_seed(0)
    return export_model(family.build(), (family.x[:6],), family.recipe, family.y[:6])


@pytest.fixture
def exported() -> Callable[[str], Exported]:
    return _export
