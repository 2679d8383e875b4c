"""Whether the store really takes an object: a signed PutObject, without all of boto3."""

from __future__ import annotations

import http.client

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Signer

from shoal.adapters.seaweed.command import HOST, REGION, Credentials

BUCKET = "shoal-ready"
"""Holds one small object; nobody else uses it."""
_TIMEOUT_S = 2.0


def is_ready(port: int, credentials: Credentials) -> bool:
    """Make the bucket and put an object into it; False while the store cannot yet."""
    try:
        return _put(port, credentials, f"/{BUCKET}") in (200, 409) and _put(
            port, credentials, f"/{BUCKET}/ready", b"ready"
        ) == 200  # fmt: skip
    except (OSError, http.client.HTTPException):
        return False


def _put(port: int, credentials: Credentials, path: str, body: bytes = b"") -> int:
    request = AWSRequest("PUT", f"http://{HOST}:{port}{path}", data=body)
    signer = Signer(credentials.access_key, credentials.secret_key)
    S3SigV4Auth(signer, "s3", REGION).add_auth(request)
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
    try:
        connection.request("PUT", path, body, dict(request.headers.items()))
        response = connection.getresponse()
        response.read(4_096)
        return response.status
    finally:
        connection.close()
