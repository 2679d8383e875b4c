"""What users have paid a gateway for storage: read from the ledger, spent task by task, each payment and task once."""

from __future__ import annotations

from shoal.client.desk import Desk
from shoal.core.ids import TaskId
from shoal.core.money import Tinybar, format_hbar
from shoal.errors import UsageError

GIB = 2**30
_READ, _KEY = "storage-read", "until"


class StorageFees:
    """A gateway's books of storage fees.

    A payment is any transfer to the gateway's account; it counts for whoever paid for the transaction. It is credit,
    so that nothing is lost where the task that it was meant for is never created.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def fee(self, stored_bytes: int) -> Tinybar:
        """What a task that stores so many bytes costs, rounded up."""
        return Tinybar(-(-stored_bytes * self._desk.settings.storage_fee // GIB))

    async def credit(self, account: str) -> Tinybar:
        """What an account has paid and not used."""
        await self._read()
        store = self._desk.store
        paid = sum(int.from_bytes(data, "big") for _, data in store.items(f"storage-paid/{account}"))
        used = sum(int.from_bytes(data, "big") for _, data in store.items(f"storage-used/{account}"))
        return Tinybar(paid - used)

    async def spend(self, account: str, task: TaskId, fee: Tinybar) -> None:
        """Take a task's fee from an account's credit, once.

        Raises:
            UsageError: SHOAL-U96, there is too little.
        """
        store, table = self._desk.store, f"storage-used/{account}"
        if not fee or store.get(table, task.hex()) is not None:
            return
        credit = await self.credit(account)
        if credit < fee:
            raise UsageError(
                f"storage for this task costs {format_hbar(fee)}, and {account} has {format_hbar(credit)} with this "
                "gateway",
                code="SHOAL-U96",
                hint=f"send {format_hbar(Tinybar(fee - credit))} from it to {self._desk.ledger.account}",
                money="the escrow is untouched; without its announcement the task ends and refunds itself",
            )
        store.put(table, task.hex(), int(fee).to_bytes(8, "big"))

    async def _read(self) -> None:
        """Note every payment since the last time. Repeated, it notes the same ones."""
        ledger, store = self._desk.ledger, self._desk.store
        after = int.from_bytes(store.get(_READ, _KEY) or b"", "big")
        until = await ledger.watermark()
        if until <= after:
            return
        for each in await ledger.movements(after_ns=after, until_ns=until, account=ledger.account):
            amount = each.net_tinybar(ledger.account)
            is_payment = each.name == "CRYPTOTRANSFER" and each.result == "SUCCESS" and each.payer != ledger.account
            if is_payment and amount > 0:
                store.put(f"storage-paid/{each.payer}", each.transaction, amount.to_bytes(8, "big"))
        store.put(_READ, _KEY, until.to_bytes(8, "big"))
