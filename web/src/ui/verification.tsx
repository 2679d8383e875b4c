/** A task checked from public data alone, check by check; nodes of before do not offer it. */

import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";

import { optional } from "../api/client";
import { asProblem } from "../api/problem";
import { Card, Pill } from "./bits";
import { Notice, ProblemNotice } from "./state";

interface Verification {
  holds: boolean;
  counts: Record<string, number>;
  checks: { check: string; by: string; verdict: "ok" | "noted" | "wrong" | "unknown"; found: string }[];
}

const TONES = { ok: "good", noted: "", wrong: "bad", unknown: "warn" };

export function VerificationCard({ task }: { task: string }) {
  const check = useMutation({ mutationFn: () => optional<Verification>(`/api/v1/tasks/${task}/verification`) });
  return (
    <Card
      title="Is all of it true?"
      aside={
        <Button variant="default" size="sm" loading={check.isPending} onClick={() => check.mutate()}>
          Check everything
        </Button>
      }
    >
      <p className="soft small">
        Log, votes, hashes and every payment, compared with each other from public data, as anyone can do without this node: <code>shoal verify {task.slice(0, 12)}</code>
      </p>
      {check.error ? <ProblemNotice problem={asProblem(check.error)} /> : null}
      {check.data === null ? <p className="soft">This node does not offer the check.</p> : null}
      {check.data ? (
        <>
          <Notice kind={check.data.holds ? "good" : "bad"} title={check.data.holds ? "It holds" : "Something is wrong"}>
            <p>
              {Object.entries(check.data.counts)
                .map(([verdict, count]) => `${count} ${verdict}`)
                .join(", ")}
            </p>
          </Notice>
          <div className="table-box inner" role="region" aria-label="Checks" tabIndex={0}>
            <table>
              <tbody>
                {check.data.checks.map((each, index) => (
                  <tr key={index}>
                    <td>
                      {each.check} <span className="soft small">by {each.by}</span>
                      <br />
                      <span className="soft small">{each.found}</span>
                    </td>
                    <td className="right">
                      <Pill tone={TONES[each.verdict]}>{each.verdict}</Pill>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      ) : null}
    </Card>
  );
}
