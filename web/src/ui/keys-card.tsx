/** The browser's own keys: made here, backed up before the first payment, restored from the file. */

import { Button, Checkbox, FileInput, PasswordInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { asProblem } from "../api/problem";
import { download } from "../lib/csv";
import { keepUnlocked, market, store } from "../tab/desk";
import { Card, Pill } from "./bits";
import { ProblemNotice } from "./state";

const SHORTEST = 12;
type KeyStatus = "none" | "locked" | "unsaved" | "ready";

/** Where the keys of this browser are; undefined while that is looked up. */
export function useKeyStatus(): KeyStatus | undefined {
  const { data } = useQuery({
    queryKey: ["tab-keys"],
    queryFn: async (): Promise<KeyStatus> => {
      const found = await (await market()).findKeys(await store());
      if (found.state === "ready") return found.saved ? "ready" : "unsaved";
      return found.state;
    },
    staleTime: Infinity,
    retry: false,
  });
  return data;
}

export function KeysCard() {
  const status = useKeyStatus();
  const pill = status === "ready" ? <Pill tone="good" dot>Backed up</Pill> : status === "unsaved" ? <Pill tone="warn" dot>No back-up yet</Pill> : null;
  return (
    <Card title="Keys of this browser" aside={pill}>
      <p className="soft">Trainings bought here are sealed to a key that never leaves this browser. Whoever loses it cannot open the weights: the file and its passphrase bring it back.</p>
      {status === "none" ? <Make /> : status === "locked" ? <Unlock /> : status ? <Save saved={status === "ready"} /> : null}
    </Card>
  );
}

function useChanged() {
  const queries = useQueryClient();
  return () => queries.invalidateQueries({ queryKey: ["tab-keys"] });
}

function Make() {
  const changed = useChanged();
  const [restoring, setRestoring] = useState(false);
  const [first, setFirst] = useState("");
  const [again, setAgain] = useState("");
  const make = useMutation({ mutationFn: async () => void keepUnlocked(await (await market()).createKeys(await store(), first)), onSuccess: changed });
  if (restoring) return <Restore back={() => setRestoring(false)} />;
  const short = first !== "" && [...first].length < SHORTEST;
  return (
    <form className="stack" onSubmit={(event) => (event.preventDefault(), make.mutate())}>
      <PasswordInput
        label="Passphrase"
        description={`At least ${SHORTEST} characters; five random words are easy to keep`}
        error={short ? `At least ${SHORTEST} characters` : null}
        value={first}
        onChange={(event) => setFirst(event.currentTarget.value)}
        autoComplete="new-password"
        visibilityToggleButtonProps={{ "aria-label": "Show or hide the passphrase" }}
      />
      <PasswordInput
        label="Passphrase once more"
        error={again && again !== first ? "They differ" : null}
        value={again}
        onChange={(event) => setAgain(event.currentTarget.value)}
        autoComplete="new-password"
        visibilityToggleButtonProps={{ "aria-label": "Show or hide it once more" }}
      />
      {make.error ? <ProblemNotice problem={asProblem(make.error)} /> : null}
      <div className="row">
        <Button type="submit" loading={make.isPending} disabled={[...first].length < SHORTEST || again !== first}>
          Make keys
        </Button>
        <Button variant="subtle" onClick={() => setRestoring(true)}>
          Restore from a back-up
        </Button>
      </div>
    </form>
  );
}

function Restore({ back }: { back: () => void }) {
  const changed = useChanged();
  const [file, setFile] = useState<File | null>(null);
  const [passphrase, setPassphrase] = useState("");
  const restore = useMutation({
    mutationFn: async () => void keepUnlocked(await (await market()).restoreKeys(await store(), await file!.text(), passphrase)),
    onSuccess: changed,
  });
  return (
    <form className="stack" onSubmit={(event) => (event.preventDefault(), restore.mutate())}>
      <FileInput label="Back-up file" description="Of this page, or of shoal keys backup" placeholder="Choose a file" value={file} onChange={setFile} />
      <PasswordInput
        label="Its passphrase"
        value={passphrase}
        onChange={(event) => setPassphrase(event.currentTarget.value)}
        autoComplete="current-password"
        visibilityToggleButtonProps={{ "aria-label": "Show or hide the passphrase" }}
      />
      {restore.error ? <ProblemNotice problem={asProblem(restore.error)} /> : null}
      <div className="row">
        <Button type="submit" loading={restore.isPending} disabled={!file || !passphrase}>
          Restore
        </Button>
        <Button variant="default" onClick={back}>
          Back
        </Button>
      </div>
    </form>
  );
}

function Unlock() {
  const [passphrase, setPassphrase] = useState("");
  const unlock = useMutation({ mutationFn: async () => void keepUnlocked(await (await market()).unlockKeys(await store(), passphrase)) });
  if (unlock.isSuccess) return <p className="good">Unlocked for this visit.</p>;
  return (
    <form className="stack" onSubmit={(event) => (event.preventDefault(), unlock.mutate())}>
      <PasswordInput
        label="Passphrase of your keys"
        description="This browser cannot keep them usable by itself, so each visit unlocks them"
        value={passphrase}
        onChange={(event) => setPassphrase(event.currentTarget.value)}
        autoComplete="current-password"
        visibilityToggleButtonProps={{ "aria-label": "Show or hide the passphrase" }}
      />
      {unlock.error ? <ProblemNotice problem={asProblem(unlock.error)} /> : null}
      <div>
        <Button type="submit" loading={unlock.isPending} disabled={!passphrase}>
          Unlock
        </Button>
      </div>
    </form>
  );
}

function Save({ saved }: { saved: boolean }) {
  const changed = useChanged();
  const [taken, setTaken] = useState(false);
  const save = useMutation({
    mutationFn: async () => {
      const text = await (await market()).backupFile(await store());
      download("shoal-keys.age", text, "text/plain");
      setTaken(true);
    },
  });
  const mark = useMutation({ mutationFn: async () => (await market()).markSaved(await store()), onSuccess: changed });
  return (
    <>
      {save.error ? <ProblemNotice problem={asProblem(save.error)} /> : null}
      <div>
        <Button variant={saved ? "default" : "filled"} loading={save.isPending} onClick={() => save.mutate()}>
          Save the back-up file
        </Button>
      </div>
      {saved ? null : <Checkbox label="I have the file and know its passphrase" disabled={!taken} checked={mark.isPending} onChange={() => mark.mutate()} />}
    </>
  );
}
