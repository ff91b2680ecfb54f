"""Wrapping keys in AWS Key Management Service, through boto3 in threads; it is asked at starts and in rotations only.

Permissions needed on the key: kms:GenerateDataKey, kms:Decrypt, and for a change of the key kms:ReEncrypt*. Credentials
come from boto3's own chain (environment, profile, role). Must not know: what data keys are for.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from actors.errors import Unavailable
from cluster.vault.ports import Wrapped
from cluster.vault.vault import SealBroken

_PREFIX: Final = "aws-kms:"
_CONFIG: Final = {"connect_timeout": 5, "read_timeout": 10, "retries": {"max_attempts": 3, "mode": "standard"}}
_REFUSALS: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


class AwsKms:
    """KeyProvider on AWS KMS; the label is the encryption context, so it shows in AWS's own trail of calls."""

    def __init__(self, key_id: str, region: str | None = None, endpoint_url: str | None = None) -> None:
        self._key_id = key_id
        self._region = region
        self._endpoint_url = endpoint_url
        self._client: Any = None

    async def generate(self, label: str) -> tuple[bytes, Wrapped]:
        """Make a data key with GenerateDataKey."""
        answer = await self._call(
            "generate_data_key", KeyId=self._key_id, KeySpec="AES_256", EncryptionContext=_context(label)
        )
        return answer["Plaintext"], Wrapped(_PREFIX + answer["KeyId"], answer["CiphertextBlob"])

    async def unwrap(self, wrapped: Wrapped, label: str) -> bytes:
        """Return the data key again with Decrypt. Raises SealBroken, Unavailable."""
        key: bytes = (
            await self._call(
                "decrypt", KeyId=_key_of(wrapped), CiphertextBlob=wrapped.data, EncryptionContext=_context(label)
            )
        )["Plaintext"]
        return key

    async def rewrap(self, wrapped: Wrapped, label: str) -> Wrapped:
        """Wrap with the configured key by ReEncrypt; the data key does not leave AWS."""
        now = await self._call("describe_key", KeyId=self._key_id)
        if _key_of(wrapped) == now["KeyMetadata"]["Arn"]:
            return wrapped
        answer = await self._call(
            "re_encrypt",
            CiphertextBlob=wrapped.data,
            SourceKeyId=_key_of(wrapped),
            SourceEncryptionContext=_context(label),
            DestinationKeyId=self._key_id,
            DestinationEncryptionContext=_context(label),
        )
        return Wrapped(_PREFIX + answer["KeyId"], answer["CiphertextBlob"])

    async def _call(self, operation: str, **parameters: object) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(partial(self._call_now, operation, parameters))
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            if code in _REFUSALS:
                raise SealBroken("a wrapped data key has been changed or is another one") from None
            raise Unavailable(f"AWS KMS refuses {operation}: {code}") from error
        except BotoCoreError as error:
            raise Unavailable(f"AWS KMS cannot be asked: {type(error).__name__}") from error

    def _call_now(self, operation: str, parameters: dict[str, object]) -> dict[str, Any]:
        if self._client is None:  # takes a tenth of a second
            self._client = boto3.client(
                "kms", region_name=self._region, endpoint_url=self._endpoint_url, config=Config(**_CONFIG)
            )
        answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
        return answer


def _context(label: str) -> dict[str, str]:
    return {"cloudbay": label}


def _key_of(wrapped: Wrapped) -> str:
    if not wrapped.by.startswith(_PREFIX):
        raise Unavailable(f"the data keys are wrapped by {wrapped.by}, which AWS KMS does not know")
    return wrapped.by.removeprefix(_PREFIX)
