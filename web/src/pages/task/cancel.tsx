/** Cancelling, before the start only, with what comes back told first. */

import { Button, Modal } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";

import { api, data, type TaskRecord } from "../../api/client";
import { asProblem } from "../../api/problem";
import { isOver } from "../../api/queries";
import { useHasToken } from "../../api/session";
import { Money } from "../../ui/bits";
import { Connect } from "../../ui/connect";
import { Notice, ProblemNotice } from "../../ui/state";

export function CancelButton({ record }: { record: TaskRecord }) {
  const [open, modal] = useDisclosure(false);
  const connected = useHasToken();
  const queries = useQueryClient();
  const key = useRef(crypto.randomUUID());
  const cancel = useMutation({
    mutationFn: async () =>
      data(await api.POST("/api/v1/tasks/{task}/cancel", { params: { path: { task: record.task_id }, header: { "Idempotency-Key": key.current } } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["task", record.task_id] }),
  });
  // What came back is still read when the task is over already.
  if ((record.started_at !== null || isOver(record.phase)) && !open) return null;
  const compensation = record.money.compensation_tinybar * record.seats.length;
  return (
    <>
      <Button variant="default" onClick={modal.open}>
        Cancel training
      </Button>
      <Modal opened={open} onClose={modal.close} title="Cancel this training?" closeButtonProps={{ "aria-label": "Close" }} centered>
        {cancel.data ? (
          <div className="stack">
            <Notice kind="good" title="Cancelled">
              <p>{cancel.data.money}.</p>
            </Notice>
            <Button onClick={modal.close}>Close</Button>
          </div>
        ) : connected ? (
          <div className="stack">
            <p>
              <Money of={record.money.escrow_tinybar - compensation} /> of <Money of={record.money.escrow_tinybar} /> comes back to your account.
              {record.seats.length ? (
                <>
                  {" "}
                  Each of the {record.seats.length} trainers that have accepted gets <Money of={record.money.compensation_tinybar} /> for its trouble.
                </>
              ) : (
                " No trainer has accepted yet, so nobody is owed anything."
              )}
            </p>
            <p className="soft small">Hedera&rsquo;s fees that were paid so far do not come back.</p>
            {cancel.error ? <ProblemNotice problem={asProblem(cancel.error)} /> : null}
            <div className="row">
              <Button color="red" loading={cancel.isPending} onClick={() => cancel.mutate()}>
                Cancel training
              </Button>
              <Button variant="default" onClick={modal.close}>
                Keep it
              </Button>
            </div>
          </div>
        ) : (
          <Connect />
        )}
      </Modal>
    </>
  );
}
