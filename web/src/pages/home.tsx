/** The first visit: two doors, what this is, what it costs, and who sees what. */

import { IconArrowRight, IconBrain, IconCpu } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect } from "react";

import { Card } from "../ui/bits";
import { LatestTasks } from "./latest";
import { info } from "../api/info";

export default function Home() {
  const { data: node } = useQuery(info);
  useEffect(() => {
    document.title = "shoal";
  }, []);
  return (
    <div className="stack wide">
      <header className="stack hero">
        <h1>Train a model on other people&rsquo;s computers</h1>
        <p className="lead">
          You bring a model and a data set. People with idle machines bid for the work, train it together, and are paid for what they
          delivered. Nobody in the middle holds the money, the data or the result.
        </p>
      </header>

      <div className="grid stretch">
        <Link className="door" to="/train">
          <span className="mark">
            <IconBrain size={24} aria-hidden />
          </span>
          <h2>Train a model</h2>
          <p className="soft">See the highest possible price before anything is paid. Watch every round. Take your weights home.</p>
          <span className="go">
            Begin a training <IconArrowRight size={18} aria-hidden />
          </span>
        </Link>
        <Link className="door" to="/earn">
          <span className="mark">
            <IconCpu size={24} aria-hidden />
          </span>
          <h2>Earn with my computer</h2>
          <p className="soft">Let this machine train for others while you do not need it. It works behind walls, and you set the limits.</p>
          <span className="go">
            See how it works <IconArrowRight size={18} aria-hidden />
          </span>
        </Link>
      </div>

      <p>
        Just looking? <Link to="/example">See a finished training</Link>, with every bid, round and payment. No wallet is needed.
      </p>

      <LatestTasks />

      <div className="grid stretch">
        <Card title="What it costs">
          <p className="soft">
            You lock the worst case in a contract: every piece of work at the highest price you accept. Trainers bid below it, and all get
            one price. What is not delivered is not paid, and the rest comes back to you by itself.
          </p>
          <p className="soft">
            Hedera&rsquo;s own fees come on top: some US cents for a small training. The quote names them before you pay.
            {node?.network === "devnet" ? " On this network all of it is play money." : ""}
          </p>
        </Card>
        <Card title="What trainers can see">
          <p className="soft">
            A hired trainer sees the pieces of your data that it trains on, and the model after each round. It cannot train without them.
            So give it no data that a stranger must not see.
          </p>
          <p className="soft">
            Nobody else sees either: data, weights and the addresses where they lie are encrypted before they leave your node. Bids are sealed until the deadline.
          </p>
        </Card>
        <Card title="What could go wrong">
          <p className="soft">
            A trainer that vanishes loses its seat, and its backup takes over. If too few trainers come, or training cannot go on, the
            contract pays what was confirmed and returns the rest. No person decides about it.
          </p>
          <p className="soft">
            Trainers check each other&rsquo;s arithmetic, and a result counts when a majority of them confirms it. A majority that colludes could still cheat.
          </p>
        </Card>
      </div>
    </div>
  );
}
