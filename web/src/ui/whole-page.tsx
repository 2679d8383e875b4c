/** What is shown where a page should be: an address that leads nowhere, or a page that broke. */

import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";

import { asProblem } from "../api/problem";
import { Page } from "./bits";
import { Empty, ProblemNotice } from "./state";

export function Lost() {
  return (
    <Page title="There is no such page">
      <Empty title="The address leads nowhere" action={<Button component={Link} to="/">To the beginning</Button>}>
        Nothing is lost: your trainings are under <Link to="/tasks">My trainings</Link>.
      </Empty>
    </Page>
  );
}

export function Broken({ error }: { error: unknown }) {
  return (
    <Page title="This page broke">
      <ProblemNotice problem={asProblem(error)} retry={() => location.reload()} />
    </Page>
  );
}
