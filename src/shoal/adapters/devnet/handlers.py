"""Which function executes which kind of transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shoal.adapters.devnet import handlers_consensus, handlers_contract, handlers_crypto, handlers_file
from shoal.adapters.devnet.context import Context

HANDLERS: Mapping[str, Callable[[Context, Any], None]] = {
    "cryptoCreateAccount": handlers_crypto.create_account,
    "cryptoUpdateAccount": handlers_crypto.update_account,
    "cryptoTransfer": handlers_crypto.transfer,
    "consensusCreateTopic": handlers_consensus.create_topic,
    "consensusUpdateTopic": handlers_consensus.update_topic,
    "consensusDeleteTopic": handlers_consensus.delete_topic,
    "consensusSubmitMessage": handlers_consensus.submit_message,
    "fileCreate": handlers_file.create_file,
    "fileAppend": handlers_file.append_file,
    "fileDelete": handlers_file.delete_file,
    "contractCreateInstance": handlers_contract.create_contract,
    "contractCall": handlers_contract.call_contract,
}
