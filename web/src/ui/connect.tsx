/** Letting this tab spend and control: with the node's token, which the tab forgets when it is closed. */

import { Button, PasswordInput } from "@mantine/core";
import { IconKey } from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";

import { asProblem, type Problem } from "../api/problem";
import { useInfo } from "../api/info";
import { pair } from "../api/pairing";
import { isCode, setToken } from "../api/session";

export function Connect({ why = "This needs the right to act for the node's account." }: { why?: string }) {
  const [text, setText] = useState("");
  const queries = useQueryClient();
  const gateway = useInfo()?.gateway ?? false;
  const [operator, setOperator] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      if (isCode(text)) await pair(text);
      else setToken(text.trim() || null);
      await queries.invalidateQueries();
    } catch (error) {
      setProblem(asProblem(error));
    }
  };
  if (gateway && !operator) {
    return (
      <div className="card stack measure">
        <div className="row">
          <IconKey size={20} aria-hidden />
          <h2>Sign in with your wallet</h2>
        </div>
        <p className="soft">{why} Your wallet signs a text, no payment; the gateway then knows which account you are.</p>
        <div className="row">
          <Button component={Link} to="/wallet">
            To the wallet
          </Button>
          <Button variant="subtle" onClick={() => setOperator(true)}>
            I run this gateway
          </Button>
        </div>
      </div>
    );
  }
  return (
    <form className="card stack measure" onSubmit={(event) => void submit(event)}>
      <div className="row">
        <IconKey size={20} aria-hidden />
        <h2>Connect this tab to your node</h2>
      </div>
      <p className="soft">
        {why} Enter the pairing code that the node prints when it starts, or the token in the file <code>api-token</code> of its directory.
        This tab keeps it until you close it, and sends it to this node only.
      </p>
      <PasswordInput
        label="Pairing code or token"
        error={problem ? `${problem.body.detail}. ${problem.body.hint}` : null}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        autoComplete="off"
        visibilityToggleButtonProps={{ "aria-label": "Show or hide it" }}
      />
      <div>
        <Button type="submit" disabled={!text.trim()}>
          Connect
        </Button>
      </div>
    </form>
  );
}
