"""An S3 bucket by its owner: boto3 signs URLs and makes the bucket; bytes move like everybody else's, by URL."""

from __future__ import annotations

import ipaddress
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import trio
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shoal.core.limits import TASK_LIFE_S
from shoal.errors import ConfigError, StorageError
from shoal.ports import Transfer

# At DEBUG botocore logs what it signs, and with that the URLs, which are secrets.
logging.getLogger("botocore").setLevel(logging.INFO)

PUT_LIFE_S = 3_600
_CONNECT_S, _READ_S = 5, 20
_ATTEMPTS = 3
_CORS_S = 3_600
"""How long a browser may keep what it was allowed."""
_ORIGINS = 64
"""Most that are kept: the oldest go first."""
_MISSING = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload", "NoSuchCORSConfiguration"})
_UNSAFE = re.compile(r"[^A-Za-z0-9!_.*'()/-]")
_NOTHING = "nothing was spent"
_WRONG = "check s3_access_key, s3_secret_key and s3_endpoint; compare this machine's clock with the store's"
_REFUSALS = {
    "InvalidAccessKeyId": ("SHOAL-S02", _WRONG),
    "SignatureDoesNotMatch": ("SHOAL-S02", _WRONG),
    "RequestTimeTooSkewed": ("SHOAL-S02", _WRONG),
    "AccessDenied": ("SHOAL-S03", "check s3_bucket, and what the store allows these credentials to do"),
    "BucketAlreadyExists": ("SHOAL-S10", "it is another user's: set s3_bucket to a name that nobody has"),
    "NoSuchBucket": ("SHOAL-S04", "check s3_bucket"),
    "InvalidBucketName": ("SHOAL-S04", "a bucket's name has 3 to 63 characters: a-z, 0-9, - and ."),
}


class _Missing(Exception):
    """There is no such object, or no such upload in parts."""


class S3Blobs:
    """The `Blobs` port over one bucket of any S3.

    >>> blobs = S3Blobs(endpoint="https://o3.example", region="akave-network", bucket="shoal", access_key="...",
    ...                 secret_key="...", write_once=True, transfer=transfer)  # doctest: +SKIP
    >>> await blobs.put("tasks/ab12/chunk-0", Path("chunk-0.age"))  # doctest: +SKIP

    Args:
        write_once: sign `If-None-Match: *` into upload slots, so that they take one object and no second.
        transfer: moves the bytes of `put`.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        region: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        write_once: bool,
        transfer: Transfer,
    ) -> None:
        self._endpoint, self._region, self._bucket = endpoint, region, bucket
        self._access_key, self._secret_key = access_key, secret_key
        self._write_once, self._transfer = write_once, transfer
        self._made: Any = None
        self._making = threading.Lock()

    def __repr__(self) -> str:
        return f"S3Blobs(endpoint={self._endpoint!r}, bucket={self._bucket!r})"

    async def ensure_bucket(self) -> None:
        """Make the bucket if it is not there; to call it again is harmless. Nothing of a task is paid before it.

        Raises:
            ConfigError: SHOAL-C02, the endpoint is not a URL.
            StorageError: SHOAL-S01, unreachable; S02, wrong credentials; S03, not allowed; S04, there can be no such
                bucket; S07, another answer; S10, the name is another user's.
        """
        await trio.to_thread.run_sync(self._ensure_bucket)

    async def put(self, key: str, path: Path) -> None:
        """Upload a file under a key, in place of an earlier one. Raises StorageError as `Transfer.upload`.

        It may take an hour, which is 1.2 MB/s for the largest weights.
        """
        url = self._presign("put_object", {"Key": key, "ContentLength": path.stat().st_size}, PUT_LIFE_S)
        await self._transfer.upload(url, path, timeout_s=PUT_LIFE_S)

    async def delete(self, key: str) -> None:
        """Remove an object; a store that keeps versions keeps what it held. Raises StorageError as `ensure_bucket`."""
        await trio.to_thread.run_sync(self._delete, key)

    def presign_get(self, key: str, *, expires_s: int) -> str:
        """A URL that reads one object for `expires_s` seconds, 7 days at most. Pure computation, about 0.2 ms."""
        return self._presign("get_object", {"Key": key}, expires_s)

    def presign_put(self, key: str, *, size_bytes: int, expires_s: int, again: bool = False) -> str:
        """A URL that takes exactly `size_bytes`, for `expires_s` seconds, 7 days at most; once if `write_once`.

        It must be used with the header `If-None-Match: *` when its `X-Amz-SignedHeaders` name it.

        Args:
            again: it may be used any number of times, the last one counts.
        """
        parameters: dict[str, str | int] = {"Key": key, "ContentLength": size_bytes}
        if self._write_once and not again:
            parameters["IfNoneMatch"] = "*"
        return self._presign("put_object", parameters, expires_s)

    # ------------------------------------------------------------ what pages upload

    async def size_of(self, key: str) -> int | None:
        try:
            return int((await self._ask("head_object", Key=key))["ContentLength"])
        except _Missing:
            return None

    async def remove(self, prefix: str) -> None:
        while True:
            found = (await self._ask("list_objects_v2", Prefix=prefix)).get("Contents") or []
            for each in found:
                await self._ask("delete_object", Key=each["Key"])
            if not found:
                return

    async def allow_origins(self, origins: Sequence[str]) -> None:
        """Beside those that are allowed already: several nodes may share a bucket.

        Raises StorageError as `ensure_bucket`; S07 where the store knows no CORS of a bucket.
        """
        try:
            rules = (await self._ask("get_bucket_cors")).get("CORSRules") or []
        except _Missing:
            rules = []
        before = [each for rule in rules for each in rule.get("AllowedOrigins") or []]
        if set(origins) <= set(before):
            return
        others = [each for each in dict.fromkeys(before) if each not in origins]
        rule = {
            "AllowedOrigins": [*others, *origins][-_ORIGINS:],
            "AllowedMethods": ["GET", "HEAD", "PUT"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": _CORS_S,
        }
        await self._ask("put_bucket_cors", CORSConfiguration={"CORSRules": [rule]})

    async def begin_parts(self, key: str) -> str:
        return str((await self._ask("create_multipart_upload", Key=key))["UploadId"])

    def presign_part(self, key: str, parts_id: str, number: int, *, size_bytes: int, expires_s: int) -> str:
        part: dict[str, str | int] = {"UploadId": parts_id, "PartNumber": number, "ContentLength": size_bytes}
        return self._presign("upload_part", {"Key": key, **part}, expires_s)

    async def parts(self, key: str, parts_id: str) -> Mapping[int, int]:
        return {number: size for number, (size, _) in (await self._parts(key, parts_id)).items()}

    async def join_parts(self, key: str, parts_id: str) -> None:
        parts = [{"PartNumber": n, "ETag": tag} for n, (_, tag) in sorted((await self._parts(key, parts_id)).items())]
        await self._ask("complete_multipart_upload", Key=key, UploadId=parts_id, MultipartUpload={"Parts": parts})

    async def drop_parts(self, key: str, parts_id: str) -> None:
        with suppress(_Missing):
            await self._ask("abort_multipart_upload", Key=key, UploadId=parts_id)

    async def _parts(self, key: str, parts_id: str) -> dict[int, tuple[int, str]]:
        found: dict[int, tuple[int, str]] = {}
        marker = 0
        while True:
            try:
                answer = await self._ask("list_parts", Key=key, UploadId=parts_id, PartNumberMarker=marker)
            except _Missing:
                return found
            found |= {int(each["PartNumber"]): (int(each["Size"]), each["ETag"]) for each in answer.get("Parts") or []}
            if not answer.get("IsTruncated"):
                return found
            marker = int(answer["NextPartNumberMarker"])

    async def _ask(self, operation: str, **parameters: Any) -> Any:
        """One call of the bucket's owner, which may take a while."""

        def ask() -> Any:
            try:
                return getattr(self._client(), operation)(Bucket=self._bucket, **parameters)
            except ClientError as error:
                if _code(error) in _MISSING:
                    raise _Missing from None
                raise self._refused(error) from None
            except BotoCoreError as error:
                raise self._unreachable(error) from None

        return await trio.to_thread.run_sync(ask)

    # ------------------------------------------------------------

    def _presign(self, operation: str, parameters: Mapping[str, str | int], expires_s: int) -> str:
        key = str(parameters["Key"])
        if not key or _UNSAFE.search(key):
            raise ValueError(f"{key!r} is not a safe S3 key")
        if expires_s < 1:
            raise ValueError("a URL must live for a second at least")
        url: str = self._client().generate_presigned_url(
            operation, Params={"Bucket": self._bucket, **parameters}, ExpiresIn=min(expires_s, TASK_LIFE_S)
        )
        return url

    def _client(self) -> Any:
        with self._making:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def _connect(self) -> Any:
        host = urlsplit(self._endpoint).hostname or ""
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            # Akave refuses the checksum headers that boto3 adds by default.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            proxies={} if _is_loopback(host) else None,
        )
        try:
            return boto3.session.Session().client(
                "s3",
                endpoint_url=self._endpoint,
                region_name=self._region,
                aws_access_key_id=self._access_key,
                aws_secret_access_key=self._secret_key,
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"s3_endpoint: {error}",
                code="SHOAL-C02",
                hint="it must read like https://o3.example or http://host:8333",
            ) from error

    def _ensure_bucket(self) -> None:
        if self._exists():
            return
        constraint = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        try:
            self._client().create_bucket(Bucket=self._bucket, **({} if self._region == "us-east-1" else constraint))
        except ClientError as error:
            # Another process may have made it in the meantime; some stores call one's own bucket somebody's.
            if _code(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists") or not self._exists():
                raise self._refused(error) from None
        except BotoCoreError as error:
            raise self._unreachable(error) from None

    def _delete(self, key: str) -> None:
        try:
            self._client().delete_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _code(error) not in ("NoSuchKey", "404"):
                raise self._refused(error) from None
        except BotoCoreError as error:
            raise self._unreachable(error) from None

    def _exists(self) -> bool:
        """Asked by listing, not by HEAD, whose answer has no body and cannot say what is wrong."""
        try:
            self._client().list_objects_v2(Bucket=self._bucket, MaxKeys=1)
        except ClientError as error:
            if _code(error) in ("NoSuchBucket", "404"):
                return False
            raise self._refused(error) from None
        except BotoCoreError as error:
            raise self._unreachable(error) from None
        return True

    def _unreachable(self, error: BotoCoreError) -> StorageError:
        return StorageError(
            f"cannot reach the S3 store at {self._endpoint}: {type(error).__name__}",
            code="SHOAL-S01",
            hint="check s3_endpoint and the network connection; locally, that `shoal demo --keep` still runs",
            money=_NOTHING,
        )

    def _refused(self, error: ClientError) -> StorageError:
        code = _code(error)
        number, hint = _REFUSALS.get(code, ("SHOAL-S07", "try again later; ask the store's operator"))
        return StorageError(
            f"the S3 store at {self._endpoint} refuses bucket {self._bucket!r}: {code}",
            code=number,
            hint=hint,
            money=_NOTHING,
        )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
