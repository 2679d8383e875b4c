"""What a training will cost, in full and before anything is sent: escrow, likely pay, every fee, storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shoal import seal
from shoal.client.prepare import Examined
from shoal.core import costs, fees, limits, pricing
from shoal.core.codec import digest
from shoal.core.costs import Line, Payer
from shoal.core.fees import Rate
from shoal.core.ids import ZERO_DIGEST
from shoal.core.manifest import AuditRules, Blob, ChunkInfo, Manifest, Rules
from shoal.core.money import Tinybar
from shoal.core.quote import Quote, confirm_every_of
from shoal.learn import document
from shoal.learn.preflight import preflight

TOLERANCE_PPM = 10_000
"""Updates that are nearer than a hundredth of their norm were trained alike, on whatever processor."""
CIPHER_BYTES = 512
"""What age adds to a small file; a tag per 64 KiB comes on top."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """All costs of a quote. Fees are for a task that goes well; the escrow is the worst case of everything else."""

    offer: Quote
    rate: Rate
    lines: tuple[Line, ...]
    unit_s: float
    """Seconds that this machine takes for one chunk in one round, on one thread: measured."""
    expected_unit_price: Tinybar
    """What a machine like this one would ask for that."""
    upload_bytes: int
    """Chunks, validation split and initial weights, encrypted."""
    stored_bytes: int
    """With every update, checkpoint and the result."""
    balance: Tinybar | None
    """Of the account, where one is set."""

    @property
    def expected_paid(self) -> Tinybar:
        plan = self.offer.plan
        unit = min(self.expected_unit_price, plan.max_unit_price)
        audits = plan.audits * plan.audit_price
        return Tinybar(self.offer.units * unit + plan.rounds * plan.aggregate_price + audits)

    @property
    def expected_back(self) -> Tinybar:
        """What comes back of the escrow."""
        return Tinybar(self.offer.escrow - self.expected_paid)

    @property
    def pays_enough(self) -> bool:
        """Whether a machine like this one would bid."""
        return self.expected_unit_price <= self.offer.plan.max_unit_price

    def fees_of(self, *payers: Payer) -> Tinybar:
        return Tinybar(self.rate.tinybar(costs.total(self.lines, *payers)))

    @property
    def needed(self) -> Tinybar:
        """What the account must hold for the worst case."""
        return Tinybar(self.offer.escrow + self.fees_of(Payer.CLIENT, Payer.CLIENT_AT_WORST))

    def as_dict(self) -> dict[str, Any]:
        return {
            "escrow_tinybar": int(self.offer.escrow),
            "needed_tinybar": int(self.needed),
            "balance_tinybar": None if self.balance is None else int(self.balance),
            "unit_s": self.unit_s,
            "expected_unit_price_tinybar": int(self.expected_unit_price),
            "expected_paid_tinybar": int(self.expected_paid),
            "expected_back_tinybar": int(self.expected_back),
            "pays_enough": self.pays_enough,
            "fees_client_tinybar": int(self.fees_of(Payer.CLIENT)),
            "fees_client_at_worst_tinybar": int(self.fees_of(Payer.CLIENT, Payer.CLIENT_AT_WORST)),
            "fees_trainers_tinybar": int(self.fees_of(Payer.TRAINERS)),
            "usd_cents_per_hbar": self.rate.cents / self.rate.hbars,
            "fees": [
                {
                    "what": line.what,
                    "count": line.count,
                    "payer": str(line.payer),
                    "usd": line.tinycents / fees.TINYCENTS_PER_USD,
                    "tinybar": self.rate.tinybar(line.tinycents),
                }
                for line in self.lines
            ],
            "upload_bytes": self.upload_bytes,
            "stored_bytes": self.stored_bytes,
        }


def estimate(
    examined: Examined,
    offer: Quote,
    *,
    rate: Rate,
    rules: Rules,
    hbar_per_hour: float,
    min_unit_tinybar: int,
    covers_fees: bool,
    balance: Tinybar | None,
    logs: bool = False,
) -> Estimate:
    """Compute all costs; times a few training steps on this machine.

    Args:
        hbar_per_hour, min_unit_tinybar: what a trainer asks for its time, and at least for a work unit.
        covers_fees: whether it asks for its fees as well.
        balance: of the account that will pay.
        logs: whether trainers put their logs on the topic, as they do unless told otherwise, but for mainnet.

    Raises:
        ModelError: the model does not run.
    """
    plan, recipe = offer.plan, examined.recipe
    report = preflight(document.parse(examined.exported.document), recipe)
    unit_s = report.step_s * recipe.local_steps
    fees_per_unit = pricing.fees_per_unit(
        rounds=plan.rounds,
        chunks=-(-plan.chunks // plan.seats),
        confirm_every=rules.confirm_every,
        rate=rate,
        audits=-(-plan.audits // plan.seats),
    )
    train, validation = (part.x.nbytes + part.y.nbytes for part in (examined.split.train, examined.split.validation))
    weights = len(examined.exported.weights)
    slot = seal.slot_bytes(weights)
    upload = train + validation + weights + CIPHER_BYTES * (plan.chunks + 2)
    audit = AuditRules(rules.round_timeout_s, 2 * rules.round_timeout_s, TOLERANCE_PPM) if plan.audits else None
    manifest = _blank_manifest(examined, plan.chunks, slot, rules, audit)
    return Estimate(
        offer=offer,
        rate=rate,
        lines=costs.lines(
            plan,
            manifest_bytes=len(manifest.to_bytes()) + costs.ENTRY_BYTES,
            confirm_every=rules.confirm_every,
            logs=logs,
        ),
        unit_s=unit_s,
        expected_unit_price=pricing.asked(
            unit_s=unit_s,
            hbar_per_hour=hbar_per_hour,
            min_unit=min_unit_tinybar,
            fees=fees_per_unit if covers_fees else 0,
        ),
        upload_bytes=upload,
        stored_bytes=upload + (offer.units + plan.rounds + 1) * slot,
        balance=balance,
    )


def rules_of(offer: Quote, round_timeout_s: int) -> Rules:
    """How a task's time is judged."""
    return Rules(round_timeout_s, round_timeout_s, confirm_every=confirm_every_of(offer.plan.rounds))


def audit_rules_of(offer: Quote, round_timeout_s: int) -> AuditRules | None:
    """How audits are judged: a validator's machine may be half as fast as a trainer's has to be."""
    return AuditRules(round_timeout_s, 2 * round_timeout_s, TOLERANCE_PPM) if offer.plan.audits else None


def _blank_manifest(examined: Examined, chunks: int, slot: int, rules: Rules, audit: AuditRules | None) -> Manifest:
    """A manifest as large as the real one will be, of which nothing else is known yet."""
    rows = len(examined.split.train.x)
    chunk = ChunkInfo(Blob(ZERO_DIGEST, limits.MIB), rows // chunks)
    return Manifest(
        nonce=bytes(16),
        network="testnet",
        contract="0.0.1234567",
        document=Blob(digest(examined.exported.document), len(examined.exported.document)),
        initial=ZERO_DIGEST,
        initial_blob=Blob(ZERO_DIGEST, slot),
        recipe=examined.recipe.as_dict(),
        chunks=(chunk,) * chunks,
        validation=chunk,
        slot_bytes=slot,
        rules=rules,
        summary={
            "name": examined.name,
            "rows": rows,
            "shape": [int(n) for n in examined.split.train.x.shape[1:]],
            "classes": len(examined.classes or ()),
            "metric": examined.recipe.metric,
        },
        audit=audit,
    )
