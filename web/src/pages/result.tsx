/** The weights: downloaded from one's own node, hashed again by this browser, compared with what was confirmed on chain. */

import { Button } from "@mantine/core";
import { IconDownload, IconShieldCheck } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";

import type { TaskRecord } from "../api/client";
import { asProblem, Problem } from "../api/problem";
import { task as taskQuery } from "../api/queries";
import { useHasToken } from "../api/session";
import { send } from "../api/transport";
import { download } from "../lib/csv";
import { metricText } from "../lib/task-view";
import { type Tensor, tensorsOf } from "../lib/safetensors";
import { useTabTask } from "../tab/runs";
import { Card, Fact, Id, Page, Phase } from "../ui/bits";
import { Connect } from "../ui/connect";
import { Copy } from "../ui/bits";
import { VerificationCard } from "../ui/verification";
import { Ask, Bones, Empty, Notice, ProblemNotice } from "../ui/state";

const TabResult = lazy(() => import("./tab-result"));

interface Fetched {
  bytes: Uint8Array<ArrayBuffer>;
  sha256: string;
  tensors: Tensor[];
}

export default function Result() {
  const { task: id } = useParams({ from: "/tasks/$task/result" });
  const query = useQuery(taskQuery(id));
  return (
    <Page
      title={query.data?.name ? `Result of ${query.data.name}` : "Result"}
      lead={
        <Link to="/tasks/$task" params={{ task: id }}>
          Back to the training
        </Link>
      }
    >
      <Ask
        query={query}
        empty={(record) =>
          record.result_sha256 ? undefined : (
            <Empty title="There is no result yet" action={<Phase of={record.phase} />}>
              Weights can be fetched once a majority of the trainers has confirmed them on chain.
            </Empty>
          )
        }
      >
        {(record) => <Weights record={record} />}
      </Ask>
    </Page>
  );
}

function Weights({ record }: { record: TaskRecord }) {
  const connected = useHasToken();
  const mine = useTabTask(record.task_id);
  const [inside, setInside] = useState<Tensor[] | null>(null);
  const last = record.checkpoints.at(-1);
  const file = `${record.name || record.task_id.slice(0, 12)}.safetensors`;
  const get = useMutation({
    mutationFn: async (): Promise<Fetched> => {
      const answer = await send(new Request(new URL(`/api/v1/tasks/${record.task_id}/result`, location.origin)));
      const bytes = new Uint8Array(await answer.arrayBuffer());
      const sha256 = await hexSha256(bytes);
      if (sha256 !== record.result_sha256) throw mismatch(sha256, record.result_sha256 ?? "");
      download(file, bytes, "application/octet-stream");
      return { bytes, sha256, tensors: tensorsOf(bytes) };
    },
    onSuccess: ({ tensors }) => setInside(tensors),
  });
  return (
    <div className="stack wide">
        <Card title="Weights">
          <div className="grid facts">
            <Fact label={`Final ${record.metric}`} note="on rows kept aside">
              {metricText(record.metric, last?.metric)}
            </Fact>
            <Fact label="Final loss">{last?.loss?.toFixed(4) ?? "–"}</Fact>
            <Fact label="Rounds">{record.checkpoints.length}</Fact>
          </div>
          <dl className="pairs">
            <dt>SHA-256 on chain</dt>
            <dd>
              <Id of={record.result_sha256!} keep={16} label="the hash" />
            </dd>
          </dl>
          {mine === undefined ? (
            <Bones />
          ) : mine ? (
            <Suspense fallback={<Bones />}>
              <TabResult record={mine} file={file} opened={setInside} />
            </Suspense>
          ) : !connected ? (
            <Connect why="Only the owner's node can decrypt these weights." />
          ) : (
            <>
              <p className="soft">Your node decrypts them with its key and sends them to this page, which hashes them again.</p>
              <div>
                <Button leftSection={<IconDownload size={17} />} loading={get.isPending} onClick={() => get.mutate()}>
                  Download and verify
                </Button>
              </div>
            </>
          )}
          {get.error ? <ProblemNotice problem={asProblem(get.error)} /> : null}
          {get.data ? (
            <Notice kind="good" title="Verified">
              <p>
                <IconShieldCheck size={16} aria-hidden style={{ verticalAlign: "-0.1875rem" }} /> This browser hashed all {get.data.bytes.length.toLocaleString()} bytes of <code>{file}</code>: equal to what the trainers confirmed on chain.
              </p>
            </Notice>
          ) : null}
        </Card>
        {inside ? (
          <Card title="What is inside" aside={<span className="soft small num">{inside.reduce((sum, each) => sum + each.numbers, 0).toLocaleString()} numbers</span>}>
            <div className="table-box inner" role="region" aria-label="Tensors" tabIndex={0}>
              <table>
                <thead>
                  <tr>
                    <th>Tensor</th>
                    <th>Type</th>
                    <th className="right">Shape</th>
                  </tr>
                </thead>
                <tbody>
                  {inside.map((each) => (
                    <tr key={each.name}>
                      <td>
                        <code>{each.name}</code>
                      </td>
                      <td>{each.dtype}</td>
                      <td className="right num">{each.shape.join(" × ") || "one number"}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </Card>
        ) : null}
      <VerificationCard task={record.task_id} />
      <Card title="Load it" aside={<Copy text={codeFor(file)} label="Copy the code" />}>
        <pre className="code" tabIndex={0} aria-label="Python code that loads the weights">
          {codeFor(file)}
        </pre>
        <p className="soft small">
          <code>Net</code> is your model{mine ? "" : <>. For a ready model the price page sent <code>model.py</code> to your node</>}; the structure is in the task&rsquo;s graph document as well.
        </p>
        {mine ? null : (
          <p className="soft small">
            On the command line: <code>shoal get {record.task_id.slice(0, 12)}</code>
          </p>
        )}
      </Card>
    </div>
  );
}

function codeFor(file: string): string {
  return `from safetensors.torch import load_file

from model import Net

model = Net()
model.load_state_dict(load_file("${file}"))
model.eval()`;
}

async function hexSha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function mismatch(found: string, wanted: string): Problem {
  return new Problem({
    title: "These are not the confirmed weights",
    status: -1,
    detail: `the bytes that came have the hash ${found.slice(0, 16)}…, on chain stands ${wanted.slice(0, 16)}…; they were not saved`,
    code: "",
    hint: "download again; if it stays, ask your node's log",
    money: "the training is paid for work that was confirmed; the confirmed result stays in storage",
  });
}
