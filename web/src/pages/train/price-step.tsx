/** What it costs at most, what it will likely cost, what comes back when; then the one button that spends. */

import { Button, Checkbox } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { api, data, type Quote } from "../../api/client";
import { useInfo } from "../../api/info";
import { networkMeaning } from "../../lib/ledger";
import { asProblem } from "../../api/problem";
import { short, usd } from "../../lib/money";
import { span } from "../../lib/time";
import { Card, Fact, Money, useNow } from "../../ui/bits";
import { Ask, Notice, ProblemNotice } from "../../ui/state";
import { Breakdown } from "./breakdown";

export function PriceStep({ quoteId, again, restart }: { quoteId: string; again: () => void; restart: () => void }) {
  const query = useQuery({
    queryKey: ["quote", quoteId],
    queryFn: async ({ signal }) => data(await api.GET("/api/v1/quotes/{quote_id}", { params: { path: { quote_id: quoteId } }, signal })),
    staleTime: Infinity,
  });
  return (
    <>
      <Ask query={query}>{(quote) => <Price quote={quote} again={again} />}</Ask>
      {query.error ? (
        <div>
          <Button variant="default" onClick={restart}>
            Begin anew
          </Button>
        </div>
      ) : null}
    </>
  );
}

function Price({ quote, again }: { quote: Quote; again: () => void }) {
  const recent = useRecentPrice();
  const work = quote.rounds * quote.aggregate_price_tinybar;
  const expected = recent === null ? null : Math.min(quote.escrow_tinybar, quote.units * recent + work);
  return (
    <div className="split">
      <div className="stack wide">
        <Card title="Price">
          <div className="grid facts">
            <Fact label="At most" note="locked in the contract">
              <Money of={quote.escrow_tinybar} />
            </Fact>
            <Fact label="Likely" note={expected === null ? "no earlier training to compare with" : "at the price of the latest training here"}>
              {expected === null ? "–" : <Money of={expected} />}
            </Fact>
            <Fact label="Hedera's fees, about" note="paid as they arise, on top">
              {usd(quote.fees_usd)}
            </Fact>
          </div>
          <Breakdown
            units={quote.units}
            chunks={quote.chunks}
            rounds={quote.rounds}
            unitPrice={quote.max_unit_price_tinybar}
            aggregatePrice={quote.aggregate_price_tinybar}
            escrow={quote.escrow_tinybar}
          />
        </Card>
        <Card title="When does money come back?">
          <ul className="points">
            <li>What trainers bid below your price comes back at the end. Work that is not delivered is not paid.</li>
            <li>Until training starts you can cancel: all comes back, but for a small compensation to each trainer that has already accepted.</li>
            <li>If too few trainers come, or a deadline passes, the contract returns what was not earned. You need not do anything.</li>
          </ul>
        </Card>
      </div>
      <div className="stack wide">
        <Card title="What your node found">
          <Found quote={quote} />
        </Card>
        <PayCard quote={quote} again={again} />
      </div>
    </div>
  );
}

function PayCard({ quote, again }: { quote: Quote; again: () => void }) {
  const now = useNow();
  const info = useInfo();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [backedUp, setBackedUp] = useState(false);
  const playMoney = info?.network === "devnet";
  const left = quote.expires_at - now;
  const pay = useMutation({
    mutationFn: async () =>
      data(
        await api.POST("/api/v1/tasks", {
          body: { quote_id: quote.quote_id, confirm: true },
          params: { header: { "Idempotency-Key": `task-${quote.quote_id}` } },
        }),
      ),
    onSuccess: async (task) => {
      sessionStorage.removeItem("shoal-quote");
      await queries.invalidateQueries({ queryKey: ["tasks"] });
      await navigate({ to: "/tasks/$task", params: { task: task.task_id } });
    },
  });
  return (
    <Card title="Pay and begin">
      {!quote.trainer_in_sight ? (
        <Notice kind="warn" title="No trainer is in sight">
          <p>You can pay all the same; if nobody bids in time, all comes back.</p>
        </Notice>
      ) : null}
      {info && !playMoney ? (
        <Notice kind={info.network === "mainnet" ? "bad" : "warn"} title={`On ${info.network}`}>
          <p>{networkMeaning(info.network)}</p>
        </Notice>
      ) : null}
      {playMoney ? null : (
        <Checkbox
          label="I have a back-up of my node's keys"
          description="Only these keys open the weights. They lie in the node's directory; copy it to a safe place first."
          checked={backedUp}
          onChange={(event) => setBackedUp(event.currentTarget.checked)}
        />
      )}
      {pay.error ? <ProblemNotice problem={asProblem(pay.error)} /> : null}
      {pay.isPending ? (
        <p className="soft" role="status">
          Your node encrypts and uploads the data, then locks the escrow. You may close this page; asked again, it is the same training.
        </p>
      ) : null}
      {left > 0 || quote.task_id ? (
        <Button size="md" loading={pay.isPending} disabled={!playMoney && !backedUp} onClick={() => pay.mutate()}>
          Lock {short(quote.escrow_tinybar)} and begin
        </Button>
      ) : (
        <p className="warn">This quote has expired. Ask for another; nothing was spent.</p>
      )}
      <Button variant="default" disabled={pay.isPending} onClick={again}>
        Change the plan
      </Button>
      {left > 0 ? <p className="soft small num">The quote holds for {span(Math.floor(left))}.</p> : null}
    </Card>
  );
}

function Found({ quote }: { quote: Quote }) {
  const found = quote.examined as { name?: string; rows?: number; shape?: number[]; range?: [number, number]; label?: string; class_count?: number; classes?: Record<string, number> };
  return (
    <dl className="pairs">
      <dt>Name</dt>
      <dd>{found.name}</dd>
      <dt>Rows</dt>
      <dd className="num">{found.rows?.toLocaleString()}</dd>
      <dt>One row</dt>
      <dd className="num">{found.shape?.join(" × ")} numbers</dd>
      <dt>Range</dt>
      <dd className="num">{found.range?.map((value) => Number(value.toPrecision(4))).join(" to ")}</dd>
      <dt>Predicts</dt>
      <dd>
        {found.label}
        {found.class_count ? `, ${found.class_count} classes` : ""}
        {found.classes ? (
          <span className="soft small">
            {" "}
            (
            {Object.entries(found.classes)
              .slice(0, 6)
              .map(([name, count]) => `${name}: ${count}`)
              .join(", ")}
            )
          </span>
        ) : null}
      </dd>
      <dt>Trainers</dt>
      <dd>{quote.trainers}</dd>
    </dl>
  );
}

/** What a work unit cost in the latest training on this network that was awarded; null if there was none. */
function useRecentPrice(): number | null {
  const { data: found } = useQuery({
    queryKey: ["recent-price"],
    queryFn: async ({ signal }) => {
      const { items } = data(await api.GET("/api/v1/tasks", { params: { query: { all: true, limit: 5 } }, signal }));
      for (const row of items) {
        const record = data(await api.GET("/api/v1/tasks/{task}", { params: { path: { task: row.task_id } }, signal }));
        if (record.money.unit_price_tinybar) return record.money.unit_price_tinybar;
      }
      return null;
    },
    staleTime: 60_000,
  });
  return found ?? null;
}
