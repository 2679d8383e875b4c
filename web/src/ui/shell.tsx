/** What is around every page: where one can go, which network this is, who one is. */

import { Drawer } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  IconAdjustments, IconCirclePlus, IconCoin, IconDots, IconHome, IconList, IconReceipt, IconSettings, IconShare3, IconWallet,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef } from "react";

import { info } from "../api/info";
import { networkMeaning, networkTone } from "../lib/ledger";
import { Pill } from "./bits";
import { Bones } from "./state";

const PAGES = [
  { to: "/", text: "Home", icon: IconHome },
  { to: "/train", text: "New training", icon: IconCirclePlus },
  { to: "/tasks", text: "My trainings", icon: IconList },
  { to: "/payments", text: "Payments", icon: IconReceipt },
  { to: "/wallet", text: "Wallet", icon: IconWallet },
  { to: "/earn", text: "Earn", icon: IconCoin },
  { to: "/network", text: "Network", icon: IconShare3 },
  { to: "/operator", text: "Operator", icon: IconAdjustments },
  { to: "/settings", text: "Settings", icon: IconSettings },
] as const;
const TABS = ["/", "/train", "/tasks", "/earn"];
const SHORT: Record<string, string> = { "/train": "Train", "/tasks": "Trainings" };

const FakeMenu = __FAKE__ ? lazy(() => import("../fake/menu")) : null;

export function Shell() {
  const [open, drawer] = useDisclosure(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    // A new page begins at its top, and a screen reader with its content.
    if (!first.current) {
      window.scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
    first.current = false;
    drawer.close();
  }, [path]);
  return (
    <div className="shell">
      <a className="skip" href="#content" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        To the content
      </a>
      <div className="side">
        <Brand />
        <Navigation label="Pages" />
        <div className="foot">
          <NetworkPill />
        </div>
      </div>
      <div>
        <div className="top">
          <Brand />
          <div className="only-phone">
            <NetworkPill />
          </div>
        </div>
        <main className="main" id="content" ref={main} tabIndex={-1}>
          <Suspense fallback={<Bones />}>
            <Outlet />
          </Suspense>
        </main>
      </div>
      <nav className="tabs" aria-label="Main pages">
        {PAGES.filter((page) => TABS.includes(page.to)).map(({ to, text, icon: Icon }) => (
          <Link key={to} to={to} activeOptions={{ exact: to === "/" }} aria-current={isAt(path, to) ? "page" : undefined}>
            <Icon size={21} aria-hidden />
            {SHORT[to] ?? text}
          </Link>
        ))}
        <button type="button" onClick={drawer.open}>
          <IconDots size={21} aria-hidden />
          More
        </button>
      </nav>
      <Drawer opened={open} onClose={drawer.close} position="bottom" title="All pages" lockScroll={false} size="auto" closeButtonProps={{ "aria-label": "Close" }}>
        <Navigation label="All pages" />
      </Drawer>
      {FakeMenu ? (
        <Suspense>
          <FakeMenu />
        </Suspense>
      ) : null}
    </div>
  );
}

function Navigation({ label }: { label: string }) {
  const path = useRouterState({ select: (state) => state.location.pathname });
  return (
    <nav className="nav" aria-label={label}>
      {PAGES.map(({ to, text, icon: Icon }) => (
        <Link key={to} to={to} aria-current={isAt(path, to) ? "page" : undefined}>
          <Icon size={19} stroke={1.75} aria-hidden />
          {text}
        </Link>
      ))}
    </nav>
  );
}

function isAt(path: string, to: string): boolean {
  return to === "/" ? path === "/" : path === to || path.startsWith(`${to}/`);
}

function Brand() {
  return (
    <Link to="/" className="brand" aria-label="shoal, to the beginning">
      <Mark />
      shoal
    </Link>
  );
}

/** Three fish that swim one way. */
export function Mark({ size = 26 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" fill="currentColor" aria-hidden>
      <path d="M30 10.5c-2.6-3.3-5.8-5-9.4-5-2.7 0-5 1-6.9 2.9L10 5.8l.9 4.7-.9 4.7 3.7-2.6c1.9 1.900 4.200 2.900 6.900 2.900 3.600 0 6.800-1.700 9.400-5z" />
      <path d="M21 22.500c-2-2.500-4.400-3.800-7.200-3.800-2 0-3.800.700-5.200 2.200L5.800 19l.7 3.500-.7 3.600 2.800-1.900c1.400 1.500 3.200 2.200 5.200 2.200 2.800 0 5.200-1.400 7.200-3.900z" opacity=".75" />
      <path d="M9.600 14.300C8.300 12.700 6.700 11.800 4.900 11.800c-.7 0-1.400.1-2 .4v4.200c.6.300 1.300.400 2 .400 1.800 0 3.400-.8 4.700-2.500z" opacity=".45" />
    </svg>
  );
}

function NetworkPill() {
  const { data } = useQuery(info);
  if (data === undefined) return null;
  return (
    <span title={networkMeaning(data?.network)}>
      <Pill tone={networkTone(data?.network)} dot>
        {data?.network ?? "network not told"}
      </Pill>
    </span>
  );
}
