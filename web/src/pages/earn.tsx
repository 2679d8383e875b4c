/** Earning with this machine: whether it works and why (not), what it earned, its limits; or how to begin. */

import { Button, Menu } from "@mantine/core";
import { IconChevronDown, IconPlayerPause, IconPlayerPlay } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { type Earnings, earnings as earningsQuery, type EarningLine, type EarningTotal, order } from "../api/earnings";
import { useInfo } from "../api/info";
import { asProblem } from "../api/problem";
import { hbar } from "../lib/money";
import { ledgerLink, shortTransaction } from "../lib/ledger";
import { ago, moment } from "../lib/time";
import { Card, Fact, Money, Outside, Page, Pill, useNow } from "../ui/bits";
import { Connect } from "../ui/connect";
import { Ask, ProblemNotice } from "../ui/state";
import { VirtualList } from "../ui/virtual-list";

export default function Earn() {
  const query = useQuery(earningsQuery);
  return (
    <Page title="Earn with my computer" lead="Let this machine train models for others while you do not need it, and be paid for each piece of work.">
      {query.error && asProblem(query.error).needsToken ? (
        <>
          <HowTo />
          <Connect why="What this machine earned is for its owner only." />
        </>
      ) : (
        <Ask query={query} empty={(found) => (found ? undefined : <HowTo />)}>
          {(found) => <Running earnings={found!} />}
        </Ask>
      )}
    </Page>
  );
}

function HowTo() {
  return (
    <>
      <div className="grid stretch">
        <Card title="How it works">
          <ol className="points">
            <li>Your machine looks at a model that somebody wants trained, times one step of it, and bids a price.</li>
            <li>If it wins, a stake of yours is locked, and it trains its share of the data, round by round.</li>
            <li>At the end the contract pays it for every piece that it delivered, and the stake is free again.</li>
          </ol>
        </Card>
        <Card title="What it may do here">
          <ul className="points">
            <li>Models are data, not programs: nothing of a stranger runs as code on your machine.</li>
            <li>Training runs behind walls, without network or your files, within limits on memory and time.</li>
            <li>It works only when you are away, never on battery, never beside a full-screen program, and in the hours that you choose.</li>
          </ul>
        </Card>
        <Card title="What it can cost">
          <ul className="points">
            <li>Electricity. The price that it asks has a floor that covers it.</li>
            <li>Hedera&rsquo;s fees for bids and messages: parts of a US cent each.</li>
            <li>The stake, if your machine cheats or vanishes in the middle of its work. Stopping in an orderly way hands the work over.</li>
          </ul>
        </Card>
      </div>
      <Card title="Begin">
        <p className="soft">This node serves trainings and does not train itself. On the machine that shall earn, run:</p>
        <pre className="code" tabIndex={0} aria-label="Command">
          shoal earn
        </pre>
        <p className="soft">
          It measures the machine, suggests a price, shows the stake, and asks before it locks anything. This page then shows what it does, if it is opened at that machine&rsquo;s own node.
        </p>
      </Card>
    </>
  );
}

function Running({ earnings }: { earnings: Earnings }) {
  const now = useNow();
  const { state } = earnings;
  return (
    <div className="split">
      <div className="stack wide">
        <State earnings={earnings} />
        <Card title="Earned" aside={<span className="soft small">read from the ledger {ago(earnings.read_at, now)}</span>}>
          <div className="grid facts">
            <Sum label="Today" of={earnings.today} />
            <Sum label="7 days" of={earnings.days_7} />
            <Sum label="30 days" of={earnings.days_30} />
          </div>
        </Card>
        <Lines items={earnings.items} />
      </div>
      <div className="stack wide">
        <Card title="Money">
          <dl className="sums">
            <div>
              <dt>Can be withdrawn</dt>
              <dd>
                <Money of={earnings.withdrawable_tinybar} />
              </dd>
            </div>
            <div>
              <dt>Stake</dt>
              <dd>
                <Money of={earnings.stake_tinybar} />
              </dd>
            </div>
          </dl>
          <p className="soft small">
            Withdraw with <code>shoal wallet withdraw</code> on this machine; its key does not come into the browser.
          </p>
        </Card>
        <Card title="Limits">
          <Limits state={state} />
        </Card>
      </div>
    </div>
  );
}

const WORDS: Record<string, [tone: string, text: string]> = { run: ["live", "Working"], pause: ["warn", "Paused"], stop: ["", "Stopped"] };

function State({ earnings }: { earnings: Earnings }) {
  const now = useNow();
  const { state } = earnings;
  const queries = useQueryClient();
  const say = useMutation({
    mutationFn: ({ what, seconds }: { what: "pause" | "resume"; seconds?: number }) => order(what, crypto.randomUUID(), seconds),
    onSettled: () => queries.invalidateQueries({ queryKey: ["earnings"] }),
  });
  const [tone, text] = WORDS[state?.state ?? ""] ?? ["", "Not started"];
  const pause = (hours?: number) => say.mutate(hours ? { what: "pause", seconds: hours * 3600 } : { what: "pause" });
  return (
    <Card
      title={
        <span className="row">
          This machine{" "}
          <Pill tone={tone} dot>
            {text}
          </Pill>
        </span>
      }
      aside={
        <div className="row">
          <Menu withinPortal={false}>
            <Menu.Target>
              <Button variant="default" size="sm" leftSection={<IconPlayerPause size={16} aria-hidden />} rightSection={<IconChevronDown size={14} aria-hidden />} loading={say.isPending}>
                Pause
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={() => pause(1)}>For an hour</Menu.Item>
              <Menu.Item onClick={() => pause(2)}>For two hours</Menu.Item>
              <Menu.Item onClick={() => pause(24)}>Until tomorrow</Menu.Item>
              <Menu.Item onClick={() => pause()}>Until I resume</Menu.Item>
            </Menu.Dropdown>
          </Menu>
          <Button size="sm" leftSection={<IconPlayerPlay size={16} aria-hidden />} loading={say.isPending} onClick={() => say.mutate({ what: "resume" })}>
            Resume
          </Button>
        </div>
      }
    >
      {state ? (
        <>
          <p>
            {state.why} <span className="soft">Since {moment(state.since)}.</span>
          </p>
          {state.obstacles.length > 1 ? (
            <ul className="points">
              {state.obstacles.map((each) => (
                <li key={each.name}>
                  {each.why}; {each.until}
                </li>
              ))}
            </ul>
          ) : null}
          {state.until ? <p className="soft">What would change it: {state.until}</p> : null}
          <p className="soft small">
            {state.seats ? `It holds ${state.seats} ${state.seats === 1 ? "seat" : "seats"} in trainings.` : "It holds no seat at present."}{" "}
            {now - state.at > 60 ? <span className="warn">Last heard {ago(state.at, now)}: the process may have ended.</span> : null}
          </p>
        </>
      ) : (
        <p className="soft">
          Nothing has been told yet. Start it with <code>shoal earn</code>.
        </p>
      )}
      {say.error ? <ProblemNotice problem={asProblem(say.error)} /> : null}
    </Card>
  );
}

function Sum({ label, of }: { label: string; of: EarningTotal }) {
  return (
    <Fact
      label={label}
      note={
        <>
          {hbar(of.earned_tinybar)} earned, {hbar(of.fees_tinybar)} fees
          {of.penalties_tinybar ? `, ${hbar(of.penalties_tinybar)} penalties` : ""}
        </>
      }
    >
      <Money of={of.profit_tinybar} sign />
    </Fact>
  );
}

function Lines({ items }: { items: readonly EarningLine[] }) {
  const info = useInfo();
  return (
    <Card title="Line by line" aside={<span className="soft small num">{items.length}</span>}>
      {items.length ? (
        <VirtualList
          items={items}
          label="Earnings line by line"
          estimate={64}
          render={(line) => {
            const link = ledgerLink(info, "transaction", line.transaction);
            return (
              <div className="move">
                <span className="stack tight">
                  <strong>{line.what}</strong>
                  <span className="soft small">{moment(line.at)}</span>
                </span>
                <span className="small id">{link ? <Outside href={link}>{shortTransaction(line.transaction)}</Outside> : <code title={line.transaction}>{shortTransaction(line.transaction)}</code>}</span>
                <strong className={`right ${line.earned_tinybar > 0 ? "good" : ""}`}>
                  <Money of={line.earned_tinybar - line.penalty_tinybar - line.fee_tinybar} sign />
                </strong>
              </div>
            );
          }}
        />
      ) : (
        <p className="soft">No work yet. Each piece of work, its pay and its fees will stand here with their transactions.</p>
      )}
    </Card>
  );
}

/** Whatever of its limits the process tells, as it names them. */
function Limits({ state }: { state: Earnings["state"] }) {
  const rows = Object.entries((state?.["limits"] ?? {}) as Record<string, unknown>);
  const floor = state?.["price_floor_tinybar"];
  return (
    <>
      {rows.length || typeof floor === "number" ? (
        <dl className="pairs">
          {typeof floor === "number" ? (
            <>
              <dt>Price floor</dt>
              <dd>
                <Money of={floor} />
              </dd>
            </>
          ) : null}
          {rows.map(([name, value]) => (
            <Pair key={name} name={name} value={value} />
          ))}
        </dl>
      ) : null}
      <p className="soft small">
        Hours, temperature, memory and the price floor are set where it is started: <code>shoal earn --help</code>.
      </p>
    </>
  );
}

function Pair({ name, value }: { name: string; value: unknown }) {
  return (
    <>
      <dt>{name.replaceAll("_", " ")}</dt>
      <dd>{typeof value === "object" ? JSON.stringify(value) : String(value)}</dd>
    </>
  );
}
