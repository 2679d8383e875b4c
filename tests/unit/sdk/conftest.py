"""The same run every time, as for the services behind it; but not where a real thread is what is tested."""

from __future__ import annotations

import pytest
from tests.unit.roles.conftest import alone_with_the_clock as _alone

steady = _alone


@pytest.fixture(autouse=True)
def alone_with_the_clock(request: pytest.FixtureRequest) -> None:
    if "autojump_clock" in request.fixturenames:
        request.getfixturevalue("steady")
