/** Everything about one training on one page; a recorded one is shown by the same parts. */

import { Button } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense } from "react";

import type { LogRecord, Peer, TaskRecord } from "../../api/client";
import { asProblem } from "../../api/problem";
import { isOver } from "../../api/queries";
import type { Story } from "../../api/stream";
import { stepNames, stepOf } from "../../lib/task-view";
import { Card, Id, Page, Phase, Pill } from "../../ui/bits";
import { ContractEvents } from "../../ui/contract-events";
import { Bones, Notice, ProblemNotice, sentence } from "../../ui/state";
import { Steps } from "../../ui/steps";
import { Audits } from "./audits";
import { Bids } from "./bids";
import { CancelButton } from "./cancel";
import { CountdownCard } from "./countdown";
import { Curves } from "./curves";
import { Freshness } from "./freshness";
import { LogCard } from "./log";
import { MoneyCard } from "./money";
import { Rounds } from "./rounds";
import { Seats } from "./seats";
import { StoryCard } from "./story";
import { TrainerLogs } from "./trainer-logs";

const PeersCard = lazy(() => import("./peers"));

export interface TaskViewProps {
  record: TaskRecord;
  /** When the record was read, in milliseconds of this machine's clock. */
  fetchedAt: number;
  problem: unknown;
  story: Story;
  log: readonly LogRecord[];
  more: (() => void) | null;
  peers: readonly Peer[];
  myPeer: string | null;
  /** What this browser does for it, where it is the client. */
  panel?: ReactNode;
  /** A recording: nothing is live, nothing can be done. */
  recorded?: boolean;
}

export function TaskView(props: TaskViewProps) {
  const { record, story, recorded } = props;
  const over = isOver(record.phase);
  return (
    <Page
      title={record.name || "Training"}
      lead={
        <span className="row">
          <Phase of={record.phase} />
          <Id of={record.task_id} label="the task's id" />
          {recorded ? <Pill>recorded</Pill> : record.mine || props.panel ? null : <Pill>of another account</Pill>}
        </span>
      }
      actions={
        recorded ? null : (
          <div className="row">
            {record.mine && !props.panel ? <CancelButton record={record} /> : null}
            {(record.mine || props.panel) && (record.phase === "settled" || record.phase === "settling") ? (
              <Button component={Link} to={`/tasks/${record.task_id}/result`} leftSection={<IconDownload size={17} />}>
                Result
              </Button>
            ) : null}
          </div>
        )
      }
    >
      <Steps names={stepNames(record.phase)} now={stepOf(record.phase)} />
      {recorded ? null : <Freshness story={story} fetchedAt={props.fetchedAt} over={over} />}
      {props.problem ? <ProblemNotice problem={asProblem(props.problem)} stale /> : null}
      <Trouble record={record} />
      <Ended record={record} />
      {props.panel}
      {recorded || over ? null : <CountdownCard record={record} fetchedAt={props.fetchedAt} />}
      <div className="split">
        <div className="stack wide">
          <Curves record={record} />
          <Rounds record={record} />
          <Seats record={record} />
          <Audits story={story} />
          <StoryCard story={story} />
          <TrainerLogs log={props.log} />
          {recorded ? null : <ContractEvents task={record.task_id} />}
          <LogCard record={record} log={props.log} more={props.more} />
        </div>
        <div className="stack wide">
          <MoneyCard record={record} />
          <Bids record={record} recorded={recorded ?? false} />
          <Card title="Peers">
            <Suspense fallback={<Bones />}>
              <PeersCard peers={props.peers} me={props.myPeer} />
            </Suspense>
          </Card>
        </div>
      </div>
    </Page>
  );
}

/** Why the client's part does not get on; it is tried again by itself. */
function Trouble({ record }: { record: TaskRecord }) {
  const trouble = record.trouble as { error?: string; message?: string; hint?: string; money?: string; code?: string } | null;
  if (!trouble) return null;
  return (
    <Notice kind="warn" title="Your node cannot go on at present, and tries again by itself">
      <p>{sentence(trouble.message ?? trouble.error ?? "")}</p>
      {trouble.money ? <p><strong>Your money:</strong> {sentence(trouble.money)}</p> : null}
      {trouble.hint ? <p><strong>What to do:</strong> {sentence(trouble.hint)}</p> : null}
      {trouble.code ? <code className="soft">{trouble.code}</code> : null}
    </Notice>
  );
}

function Ended({ record }: { record: TaskRecord }) {
  if (record.phase === "cancelled") {
    return (
      <Notice kind="info" title="This training was cancelled">
        <p>Nothing was trained. What came back to you stands under Money.</p>
      </Notice>
    );
  }
  if (record.phase === "expired") {
    return (
      <Notice kind="warn" title="A deadline passed, and the contract ended this training">
        <p>Too few trainers came or stayed. What was not earned came back to your account by itself. You can try again, perhaps with a higher budget.</p>
      </Notice>
    );
  }
  return null;
}
