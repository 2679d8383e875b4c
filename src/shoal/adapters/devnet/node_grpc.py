"""The consensus node's gRPC services: every unary method is a transaction or a query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from hiero_sdk_python.hapi.services import (
    consensus_service_pb2,
    crypto_service_pb2,
    file_service_pb2,
    network_service_pb2,
    query_pb2,
    schedule_service_pb2,
    smart_contract_service_pb2,
    token_service_pb2,
    transaction_pb2,
    util_service_pb2,
)

from shoal.adapters.devnet.ledger import Ledger
from shoal.adapters.devnet.queries import Queries

_MODULES = (
    crypto_service_pb2,
    consensus_service_pb2,
    file_service_pb2,
    network_service_pb2,
    smart_contract_service_pb2,
    schedule_service_pb2,
    token_service_pb2,
    util_service_pb2,
)


class NodeService:
    """Dispatches by method path, such as `/proto.CryptoService/cryptoTransfer`.

    Methods whose kind the ledger does not execute answer NOT_SUPPORTED.
    """

    def __init__(self, ledger: Ledger, queries: Queries) -> None:
        self._submit, self._answer = ledger.submit, queries.answer
        self._services = {
            service.full_name: {method.name: method.input_type.name for method in service.methods}
            for module in _MODULES
            for service in module.DESCRIPTOR.services_by_name.values()
        }

    def handlers(self) -> list[Any]:
        """To be added to a grpc.aio server."""
        return [
            grpc.method_handlers_generic_handler(service, {name: self._method(kind) for name, kind in methods.items()})
            for service, methods in self._services.items()
        ]

    def call(self, service: str, method: str, message: bytes) -> bytes | None:
        """One unary call, bytes in and out; None when there is no such method.

        Raises:
            google.protobuf.message.DecodeError: the message is not what the method takes.
        """
        kind = self._services.get(service, {}).get(method)
        if kind is None:
            return None
        decode, run = self._parts(kind)
        answer: bytes = run(decode(message)).SerializeToString()
        return answer

    def _parts(self, kind: str) -> tuple[Callable[[bytes], Any], Callable[[Any], Any]]:
        if kind == "Transaction":
            return transaction_pb2.Transaction.FromString, self._submit
        return query_pb2.Query.FromString, self._answer

    def _method(self, kind: str) -> Any:
        decode, run = self._parts(kind)

        async def handle(request: Any, context: Any) -> Any:
            return run(request)

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=decode, response_serializer=lambda message: message.SerializeToString()
        )
