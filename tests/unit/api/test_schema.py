"""Schemathesis over the OpenAPI documents, against a real server: whatever is sent, the node does not fail."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from .desk import Served, served_in_a_thread
from .users import User

EXAMPLES = 6


def test_no_request_of_a_user_makes_a_gateway_fail(tmp_path: Path) -> None:
    with served_in_a_thread(tmp_path, api_requests_per_minute=1_000_000, gateway=True, storage_fee=5) as served:
        alice = User.make("0.0.7")
        served.desk.ledger.accounts["0.0.7"] = (alice.address, alice.public)
        nonce = httpx.post(f"{served.url}/api/v1/sign-in/nonce", json={"account": "0.0.7"}).json()
        wish = {"account": "0.0.7", "nonce": nonce["nonce"], "signature_map_b64": alice.map_b64(nonce["message"])}
        token = httpx.post(f"{served.url}/api/v1/sign-in", json=wish).json()["token"]
        as_user = replace(served, token=token)
        statuses: Counter[str] = Counter()
        document = httpx.get(f"{served.url}/api/v1/openapi.json").json()
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            if not found.ok().path.endswith("/sign-out"):  # all after it would be refused
                try_out(found.ok(), served.url, as_user, statuses)
        assert {"GET /api/v1/chunks -> 200", "POST /api/v1/tasks -> 403"} <= statuses.keys()


@pytest.mark.parametrize(("part", "least"), [("url", 40), ("command_url", 2)])
def test_no_request_makes_it_fail(tmp_path: Path, part: str, least: int) -> None:
    with served_in_a_thread(tmp_path, api_requests_per_minute=1_000_000) as served:
        base = getattr(served, part)
        path = "/api/v1/openapi.json" if part == "url" else "/openapi.json"
        document = httpx.get(base + path, headers=served.authorised).json()
        statuses: Counter[str] = Counter()
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            try_out(found.ok(), base, served, statuses)
        assert len({label for label, _, _ in (key.partition(" -> ") for key in statuses)}) >= least
        assert any(key.endswith("-> 200") for key in statuses)


def try_out(operation: Any, base: str, served: Served, statuses: Counter[str]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def one(case: Any) -> None:
        headers = served.authorised
        parameters = case.path_parameters or {}
        for task in [None, served.desk.world.task.hex()] if "task" in parameters else [None]:
            if task is not None:
                parameters["task"] = task
            if operation.path.endswith("/events") and task is not None:
                continue  # it does not end
            answer = case.call(base_url=base, headers=headers, timeout=60)
            statuses[f"{operation.label} -> {answer.status_code}"] += 1
            assert answer.status_code < 500, f"{operation.label}: {answer.text}"

    one()
