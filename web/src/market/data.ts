// A data set as the page handles it: read in a worker, described, and split.

import { type Description, type Split, describe, split, targetOf } from "./dataset";
import { DataError } from "./errors";
import type { Question } from "./data-worker";
import { type Found, type ReadOptions, readFile } from "./reading";

export { type Description, type Found, type ReadOptions, type Split, describe, split, targetOf };

interface Refused {
  readonly refused: { readonly message: string; readonly code: string; readonly hint: string; readonly money: string };
}

/** Read a dropped file without blocking the page; aborted, the worker ends at once. Throws DataError. */
export async function readData(file: File, options: ReadOptions, signal?: AbortSignal): Promise<Found> {
  if (typeof Worker === "undefined") return await readFile(file, file.name, options);
  const worker = new Worker(new URL("./data-worker.ts", import.meta.url), { type: "module" });
  try {
    return await new Promise<Found>((resolve, reject) => {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      worker.onerror = ({ message }) => reject(tooMuch(file.name, message));
      worker.onmessage = ({ data }: MessageEvent<Found | Refused>) => {
        if ("refused" in data) reject(new DataError(data.refused.message, data.refused));
        else resolve(data);
      };
      worker.postMessage({ file, name: file.name, options } satisfies Question);
    });
  } finally {
    worker.terminate();
  }
}

const tooMuch = (name: string, why: string): DataError =>
  new DataError(`${name} cannot be read in this browser: ${why || "it has not enough memory"}`, {
    code: "SHOAL-D13",
    hint: "take a sample of the rows, or train from your own node",
  });
