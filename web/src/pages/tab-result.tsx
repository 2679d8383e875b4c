/** The weights, opened by this browser's key, compared with what the ledger says, and saved. No key leaves the browser. */

import { Button } from "@mantine/core";
import { IconDownload, IconShieldCheck } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";

import { useInfo } from "../api/info";
import { asProblem } from "../api/problem";
import { download } from "../lib/csv";
import { type Tensor, tensorsOf } from "../lib/safetensors";
import type { Result, TaskRecord } from "../market";
import { gateway, keys, ledgerOf, market } from "../tab/desk";
import { KeysCard, useKeyStatus } from "../ui/keys-card";
import { Notice, ProblemNotice } from "../ui/state";

interface Opened extends Result {
  tensors: Tensor[];
}

export default function TabResult({ record, file, opened }: { record: TaskRecord; file: string; opened: (tensors: Tensor[]) => void }) {
  const info = useInfo();
  const status = useKeyStatus();
  const get = useMutation({
    mutationFn: async (): Promise<Opened> => {
      const { fetchResult, LedgerReader, MarketError, TaskLog } = await market();
      const log = await TaskLog.find(new LedgerReader(ledgerOf(info!)), record.task);
      if (!log) throw new MarketError("the mirror does not show this task", { code: "SHOAL-T08", hint: "try again in a moment" });
      const state = await log.catchUp();
      const result = await fetchResult(state, { gateway: await gateway(), keys: await keys(), secret: record.pieces.secrets.secret });
      download(file, result.weights, "application/octet-stream");
      return { ...result, tensors: tensorsOf(result.weights) };
    },
    onSuccess: ({ tensors }) => opened(tensors),
  });
  return (
    <>
      <p className="soft">This browser reads the task&rsquo;s log from the mirror node, fetches the encrypted result from storage, and opens it with its own key. The key is sent to nobody.</p>
      {status === "locked" || status === "none" ? <KeysCard /> : null}
      <div>
        <Button leftSection={<IconDownload size={17} />} loading={get.isPending} disabled={!info} onClick={() => get.mutate()}>
          Open, verify and save
        </Button>
      </div>
      {get.error ? <ProblemNotice problem={asProblem(get.error)} /> : null}
      {get.data ? (
        <Notice kind="good" title="Verified">
          <p>
            <IconShieldCheck size={16} aria-hidden style={{ verticalAlign: "-0.1875rem" }} /> All {get.data.weights.length.toLocaleString()} bytes of <code>{file}</code>, with the hash{" "}
            <code>{get.data.sha256.slice(0, 16)}…</code>, are equal to what the trainers confirmed on chain.
          </p>
        </Notice>
      ) : null}
    </>
  );
}
