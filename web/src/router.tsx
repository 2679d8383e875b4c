/** The addresses of the app. Pages are loaded when they are first visited. */

import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";

import Home from "./pages/home";
import { Shell } from "./ui/shell";
import { Broken, Lost } from "./ui/whole-page";

const root = createRootRoute({ component: Shell, notFoundComponent: Lost, errorComponent: Broken });
const at = <P extends string>(path: P) => ({ getParentRoute: () => root, path }) as const;

const routes = [
  createRoute({ ...at("/"), component: Home }),
  createRoute({ ...at("/example"), component: lazyRouteComponent(() => import("./pages/example")) }),
  createRoute({ ...at("/train"), component: lazyRouteComponent(() => import("./pages/train/train")) }),
  createRoute({ ...at("/tasks"), component: lazyRouteComponent(() => import("./pages/history")) }),
  createRoute({ ...at("/tasks/$task"), component: lazyRouteComponent(() => import("./pages/task/task")) }),
  createRoute({ ...at("/tasks/$task/result"), component: lazyRouteComponent(() => import("./pages/result")) }),
  createRoute({ ...at("/payments"), component: lazyRouteComponent(() => import("./pages/payments")) }),
  createRoute({ ...at("/wallet"), component: lazyRouteComponent(() => import("./pages/wallet")) }),
  createRoute({ ...at("/earn"), component: lazyRouteComponent(() => import("./pages/earn")) }),
  createRoute({ ...at("/network"), component: lazyRouteComponent(() => import("./pages/network")) }),
  createRoute({ ...at("/operator"), component: lazyRouteComponent(() => import("./pages/operator")) }),
  createRoute({ ...at("/settings"), component: lazyRouteComponent(() => import("./pages/settings")) }),
] as const;

export const router = createRouter({ routeTree: root.addChildren([...routes]), defaultPreload: "intent", scrollRestoration: false });

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
