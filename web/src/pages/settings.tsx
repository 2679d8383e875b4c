/** Settings of this browser: looks, and this tab's connection. The node's own are not for a web page. */

import { Button, SegmentedControl, useMantineColorScheme } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { session as sessionQuery, useInfo } from "../api/info";
import { setToken, useHasToken } from "../api/session";
import { moment } from "../lib/time";
import { Card, Page } from "../ui/bits";
import { Connect } from "../ui/connect";

export default function Settings() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const connected = useHasToken();
  const info = useInfo();
  const { data: session } = useQuery(sessionQuery);
  return (
    <Page title="Settings" lead="Of this browser and this tab.">
      <div className="grid two">
        <Card title="Looks">
          <SegmentedControl
            data={[
              { value: "auto", label: "As the system" },
              { value: "light", label: "Light" },
              { value: "dark", label: "Dark" },
            ]}
            value={colorScheme}
            onChange={(value) => setColorScheme(value as "auto" | "light" | "dark")}
            aria-label="Light or dark"
          />
        </Card>
        {connected ? (
          <Card title="This tab">
            <p className="soft">
              Connected{session ? ` as ${session.role} of account ${session.account}` : ""}
              {session?.expires_at ? `, until ${moment(session.expires_at)}` : ""}. The token lives in this tab only, and is gone when you close it.
            </p>
            <div>
              <Button variant="default" onClick={() => setToken(null)}>
                Disconnect this tab
              </Button>
            </div>
          </Card>
        ) : (
          <Connect why="Looking needs no permission; spending and controlling does." />
        )}
        <Card title="What this page keeps">
          <ul className="points">
            <li>In this tab: the token, and the number of a quote that you have not paid yet.</li>
            <li>In this browser: light or dark, and the app&rsquo;s own files, so that it starts at once.</li>
            <li>Nothing else. It loads nothing from other places, sets no cookie and counts no visits.</li>
          </ul>
        </Card>
        <Card title="The node">
          <p className="soft">
            Its settings are shown by <code>shoal config show</code>, each with where it came from, and changed in <code>shoal.toml</code>.
          </p>
          {info ? (
            <dl className="pairs">
              <dt>Version</dt>
              <dd>{info.version}</dd>
              <dt>Network</dt>
              <dd>{info.network}</dd>
              <dt>Roles</dt>
              <dd>{info.roles.join(", ")}</dd>
            </dl>
          ) : null}
        </Card>
      </div>
    </Page>
  );
}
