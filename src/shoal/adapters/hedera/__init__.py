"""The ledger: Hedera through the official SDK and a mirror node; its networks differ by settings."""

from shoal.adapters.hedera.client import HederaLedger
from shoal.adapters.hedera.deployment import Deployment
from shoal.adapters.hedera.market import MarketAbi
from shoal.adapters.hedera.reader import LedgerReader
from shoal.adapters.hedera.settings import LedgerSettings

__all__ = ["Deployment", "HederaLedger", "LedgerReader", "LedgerSettings", "MarketAbi"]
