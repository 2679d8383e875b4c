"""The ledger: Hedera through the official SDK and a mirror node; devnet, Solo, testnet and mainnet differ by settings."""

from shoal.adapters.hedera.client import HederaLedger
from shoal.adapters.hedera.market import MarketAbi, TaskView
from shoal.adapters.hedera.settings import LedgerSettings

__all__ = ["HederaLedger", "LedgerSettings", "MarketAbi", "TaskView"]
