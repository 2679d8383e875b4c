/** The API, typed by the node's own OpenAPI document (`npm run generate`). */

import createClient from "openapi-fetch";

import type { components, paths } from "./schema";
import { send } from "./transport";

export type Schemas = components["schemas"];
export type TaskRow = Schemas["TaskRow"];
export type TaskRecord = Schemas["TaskRecord"];
export type Checkpoint = Schemas["CheckpointRecord"];
export type Quote = Schemas["QuoteRecord"];
export type Peer = Schemas["PeerRecord"];
export type Trainer = Schemas["TrainerRecord"];
export type Movement = Schemas["MovementRecord"];
export type LogRecord = Schemas["LogRecord"];

export const api = createClient<paths>({ baseUrl: location.origin, fetch: send });

/** The data of an answer: `send` has thrown whatever was none. */
export function data<T>(answer: { data?: T }): T {
  return answer.data as T;
}

/** A resource that this version of the document does not describe; null where the node does not have it. */
export async function optional<T>(path: string, signal?: AbortSignal): Promise<T | null> {
  try {
    return (await (await send(new Request(new URL(path, location.origin), { signal: signal ?? null }))).json()) as T;
  } catch (error) {
    if (error instanceof Error && "body" in error && (error as { body: { status: number } }).body.status === 404) return null;
    throw error;
  }
}
