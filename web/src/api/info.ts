/** What the node says of itself: its network, what may be read where, and what it allows. */

import { queryOptions, useQuery } from "@tanstack/react-query";

import { optional } from "./client";

export interface Info {
  version: string;
  network: string;
  contract_id: string;
  /** The node's own account. */
  account?: string;
  mirror: { rest: string; grpc_web: string | null };
  node?: { grpc_web: string | null; account: string };
  peer_id: string;
  roles: string[];
  gateway: boolean;
  walletconnect_project_id: string | null;
  rate?: { cents: number; hbars: number };
  storage?: { account: string | null; fee_tinybar_per_gib: number };
  limits?: Record<string, number>;
}

export interface Session {
  account: string;
  role: "operator" | "user";
  expires_at?: number | null;
}

export const info = queryOptions({
  queryKey: ["info"],
  queryFn: ({ signal }) => optional<Info>("/api/v1/info", signal),
  staleTime: 60_000,
});

export const session = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => optional<Session>("/api/v1/session", signal),
  staleTime: 60_000,
  retry: false,
});

export function useInfo(): Info | null {
  return useQuery(info).data ?? null;
}
