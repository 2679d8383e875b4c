/** The price, what comes back when, and what is still missing before the wallet is asked to pay. */

import { Button, Progress } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { useInfo } from "../../../api/info";
import { asProblem } from "../../../api/problem";
import { networkMeaning } from "../../../lib/ledger";
import { short, usd } from "../../../lib/money";
import { desk, market } from "../../../tab/desk";
import { begin, prepared } from "../../../tab/runs";
import { Card, Fact, Money } from "../../../ui/bits";
import { KeysCard, useKeyStatus } from "../../../ui/keys-card";
import { Notice, ProblemNotice } from "../../../ui/state";
import { useReconnected, WalletCard } from "../../../ui/wallet-card";
import { Breakdown } from "../breakdown";
import type { Offer } from "./train";

export function PriceStep({ offer, again }: { offer: Offer; again: () => void }) {
  const { quote } = offer;
  const { plan } = quote;
  return (
    <div className="split">
      <div className="stack wide">
        <Card title="Price">
          <div className="grid facts">
            <Fact label="At most" note="locked in the contract">
              <Money of={quote.escrow_tinybar} />
            </Fact>
            <Fact label="Likely" note={quote.expected_paid_tinybar === null ? "no trainer in sight to go by" : "at what trainers usually ask"}>
              {quote.expected_paid_tinybar === null ? "–" : <Money of={quote.expected_paid_tinybar} />}
            </Fact>
            {quote.storage_fee_tinybar ? (
              <Fact label="Storage" note="to the gateway, before the start; it does not come back">
                <Money of={quote.storage_fee_tinybar} />
              </Fact>
            ) : null}
            <Fact label="Hedera's fees, about" note="paid as they arise, on top">
              {usd(quote.fees_usd)}
            </Fact>
          </div>
          <Breakdown
            units={quote.units}
            chunks={plan["chunks"] ?? 0}
            rounds={plan["rounds"] ?? 0}
            unitPrice={plan["maxUnitPrice"] ?? 0}
            aggregatePrice={plan["aggregatePrice"] ?? 0}
            escrow={quote.escrow_tinybar}
          />
        </Card>
        <Card title="When does money come back?">
          <ul className="points">
            <li>What trainers bid below your price comes back at the end. Work that is not delivered is not paid.</li>
            <li>
              Until training starts you can cancel: all comes back, but <Money of={plan["compensation"] ?? 0} /> to each trainer that has already accepted.
            </li>
            <li>If this tab never comes back before the start, the contract ends the training by itself, and the same comes back.</li>
          </ul>
        </Card>
        <PayCard offer={offer} again={again} />
      </div>
      <div className="stack wide">
        <WalletCard />
        <KeysCard />
      </div>
    </div>
  );
}

function PayCard({ offer, again }: { offer: Offer; again: () => void }) {
  const { order, quote } = offer;
  const info = useInfo();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { wallet } = useReconnected();
  const status = useKeyStatus();
  const [done, setDone] = useState<[number, number]>([0, 1]);
  const pay = useMutation({
    mutationFn: async () => {
      const { prepareTask } = await market();
      const client = await prepareTask(await desk(), order, quote, (made, of) => setDone([made, of]));
      prepared();
      return client.record.task as string;
    },
    onSuccess: async (task) => {
      begin(task);
      await queries.invalidateQueries({ queryKey: ["tab-tasks"] });
      await navigate({ to: "/tasks/$task", params: { task } });
    },
  });
  const missing = [...(wallet ? [] : ["a wallet"]), ...(status === "none" || status === "locked" ? ["keys"] : []), ...(status === "unsaved" ? ["a back-up of the keys"] : [])];
  return (
    <Card title="Pay and begin">
      {quote.trainer_in_sight ? null : (
        <Notice kind="warn" title="No trainer is in sight">
          <p>You can pay all the same; if nobody bids in time, all comes back.</p>
        </Notice>
      )}
      {quote.pays_enough === false ? (
        <Notice kind="warn" title="Trainers usually ask for more">
          <p>With this budget nobody may bid. If so, all comes back.</p>
        </Notice>
      ) : null}
      {info && info.network !== "devnet" ? (
        <Notice kind={info.network === "mainnet" ? "bad" : "warn"} title={`On ${info.network}`}>
          <p>{networkMeaning(info.network)}</p>
        </Notice>
      ) : null}
      <p className="soft">
        The data is encrypted here and uploaded; then your wallet is asked to sign the payment and, until the start, some small messages. <strong>Keep this tab open until training starts</strong>: its page tells
        until when, and how many confirmations are left. Closed and opened again in time, it goes on.
      </p>
      {pay.error ? <ProblemNotice problem={asProblem(pay.error)} /> : null}
      {pay.isPending ? (
        <div className="stack" role="status">
          <p className="soft">
            Encrypting: {done[0]} of {done[1]} pieces
          </p>
          <Progress value={(100 * done[0]) / done[1]} aria-label="Encrypting" />
        </div>
      ) : null}
      {missing.length ? <p className="warn">Still missing: {missing.join(", ")}. See the cards beside this one.</p> : null}
      <div className="row">
        <Button size="md" loading={pay.isPending} disabled={missing.length > 0 || status === undefined} onClick={() => pay.mutate()}>
          Lock {short(quote.escrow_tinybar)} and begin
        </Button>
        <Button variant="default" disabled={pay.isPending} onClick={again}>
          Change the plan
        </Button>
      </div>
    </Card>
  );
}
