/** What this browser still has to do for a training: until when it must stay open, and how often the wallet will ask. */

import { Button, Progress } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";

import { useInfo } from "../../api/info";
import { asProblem } from "../../api/problem";
import { isOver } from "../../api/queries";
import { useHasToken } from "../../api/session";
import { span } from "../../lib/time";
import type { Outlook, TaskRecord } from "../../market";
import { ledgerOf, market, store } from "../../tab/desk";
import { begin, cancel, finish, pause, type Run, useRun } from "../../tab/runs";
import { Card, Fact, Money, Pill, useNow } from "../../ui/bits";
import { Connect } from "../../ui/connect";
import { KeysCard, useKeyStatus } from "../../ui/keys-card";
import { Notice, ProblemNotice, sentence } from "../../ui/state";
import { useReconnected, WalletCard } from "../../ui/wallet-card";

const STEPS: Record<Outlook["step"], string> = {
  uploading: "Sending the encrypted data to storage",
  paying: "Locking the payment: your wallet signs",
  bidding: "Trainers bid; nothing is to be done until that is over",
  awarding: "Choosing the cheapest trainers that fit",
  accepting: "The chosen trainers accept",
  "handing out": "Handing out keys and places in storage, to each trainer its own",
  "getting ready": "Trainers fetch their data and get ready",
  training: "Training goes on without this tab",
  settling: "The result is confirmed; payments are being settled",
  over: "This training is over",
};

export default function TabPanel({ record, phase }: { record: TaskRecord; phase: string | null }) {
  const run = useRun(record.task);
  const { wallet } = useReconnected();
  const status = useKeyStatus();
  const connected = useHasToken();
  const early = phase === null || phase === "open" || phase === "awarded";
  const ready = wallet !== null && connected && (status === "ready" || status === "unsaved");
  const goesOn = early && ready && record.created && !run.busy && !run.error && run.told === null;
  // What is paid for goes on by itself when its page is opened again; paying waits for the button.
  useEffect(() => {
    if (goesOn) begin(record.task);
  }, [goesOn, record.task]);
  if (phase !== null && isOver(phase)) return <Over record={record} phase={phase} ready={ready} />;
  if (!early) return <Closable run={run} />;
  return (
    <Card title="This browser is the client" aside={run.busy ? <Pill tone="live" dot>Working</Pill> : <Pill tone="warn" dot>Paused</Pill>}>
      <Now run={run} record={record} />
      {run.told?.problem ? <ProblemNotice problem={asProblem(run.told.problem)} stale /> : null}
      {run.error ? <ProblemNotice problem={asProblem(run.error)} /> : null}
      <Buttons run={run} record={record} ready={ready} paid={phase !== null} />
      {connected ? null : <Connect why="This tab is the client of the training, and needs its place at the node." />}
      {wallet ? null : <WalletCard />}
      {status === "locked" || status === "none" ? <KeysCard /> : null}
    </Card>
  );
}

function Now({ run, record }: { run: Run; record: TaskRecord }) {
  const now = useNow();
  const outlook = run.told?.outlook;
  if (!outlook) {
    return (
      <p className="soft">
        {record.created ? "It is paid. Go on, so that it can start before its deadlines." : record.uploaded ? "The data is in storage; nothing is paid yet." : "The data is encrypted and waits in this browser; nothing is paid yet."}
      </p>
    );
  }
  const upload = run.told?.upload;
  return (
    <>
      <p role="status">
        <strong>{STEPS[outlook.step]}.</strong>
      </p>
      {upload && outlook.step === "uploading" ? (
        <div className="stack tight">
          <Progress value={upload.total ? (100 * upload.done) / upload.total : 0} aria-label="Upload" />
          <span className="soft small num">
            Piece {upload.object} of {upload.objects}, {(upload.done / 2 ** 20).toFixed(1)} of {(upload.total / 2 ** 20).toFixed(1)} MiB
          </span>
        </div>
      ) : null}
      <div className="grid facts">
        <Fact label="Keep this tab open" note={outlook.openUntil ? `at the latest in ${span(Math.max(0, Math.floor(outlook.openUntil - now)))} it has started, or ends unpaid` : undefined}>
          {outlook.mayClose ? "Not needed" : "Until it starts"}
        </Fact>
        <Fact label="Confirmations left" note="in your wallet, until the start">
          {outlook.confirmationsLeft}
        </Fact>
        <Fact label="Locked">
          <Money of={Number(outlook.locked)} />
        </Fact>
        {outlook.waitsUntil !== null && outlook.waitsUntil > now ? <Fact label="Next step, at the latest in">{span(Math.floor(outlook.waitsUntil - now))}</Fact> : null}
      </div>
      <p className="soft small">If you never came back: {sentence(outlook.otherwise)}</p>
    </>
  );
}

function Buttons({ run, record, ready, paid }: { run: Run; record: TaskRecord; ready: boolean; paid: boolean }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const uploading = run.told?.outlook.step === "uploading";
  const stop = useMutation({
    mutationFn: async () => (pause(record.task), await cancel(record.task)),
    onSuccess: () => queries.invalidateQueries(),
  });
  const forget = useMutation({
    mutationFn: async () => {
      pause(record.task);
      await (await market()).forgetTask(await store(), record.task);
    },
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["tab-tasks"] });
      await navigate({ to: "/train" });
    },
  });
  const wrong = stop.error ?? forget.error;
  return (
    <>
      {wrong ? <ProblemNotice problem={asProblem(wrong)} /> : null}
      {stop.isSuccess ? (
        <Notice kind="good" title="Cancelled">
          <p>What comes back is told here as soon as the ledger shows it.</p>
        </Notice>
      ) : (
        <div className="row">
          {run.busy ? (
            uploading ? (
              <Button variant="default" onClick={() => pause(record.task)}>
                Pause
              </Button>
            ) : null
          ) : (
            <Button disabled={!ready} onClick={() => begin(record.task)}>
              Go on
            </Button>
          )}
          {paid ? (
            <Button color="red" variant="outline" loading={stop.isPending} disabled={!ready} onClick={() => stop.mutate()}>
              Cancel training
            </Button>
          ) : run.busy ? null : (
            <Button variant="subtle" loading={forget.isPending} onClick={() => forget.mutate()}>
              Forget it
            </Button>
          )}
        </div>
      )}
    </>
  );
}

function Closable({ run }: { run: Run }) {
  return (
    <Notice kind="good" title="You may close this tab">
      <p>{run.error ? "Trainers have begun." : "Trainers train, vote and settle without it."} Come back for the result: only this browser&rsquo;s keys open it.</p>
    </Notice>
  );
}

/** What the contract still holds for the account is taken back with one more confirmation. */
function Over({ record, phase, ready }: { record: TaskRecord; phase: string; ready: boolean }) {
  const run = useRun(record.task);
  const queries = useQueryClient();
  const info = useInfo();
  const { data: held } = useQuery({
    queryKey: ["held", record.client, run.busy],
    queryFn: async () => {
      const { LedgerReader } = await market();
      return Number((await new LedgerReader(ledgerOf(info!)).accountState(record.client)).balance);
    },
    enabled: info !== null,
    refetchInterval: 10_000,
  });
  useEffect(() => {
    if (!run.busy) void queries.invalidateQueries({ queryKey: ["tab-tasks"] });
  }, [run.busy, queries]);
  if (held === 0 && !run.error) return null;
  return (
    <Card title={phase === "settled" ? "Take back what was not spent" : "Take back your money"}>
      <p className="soft">
        The contract holds {held === undefined ? "…" : <Money of={held} />} for account {record.account}. One confirmation in your wallet takes it back.
      </p>
      {run.error ? <ProblemNotice problem={asProblem(run.error)} /> : null}
      {ready ? (
        <div>
          <Button loading={run.busy} onClick={() => finish(record.task)}>
            Take it back
          </Button>
        </div>
      ) : (
        <WalletCard />
      )}
    </Card>
  );
}
