/** Sending a form with its progress told, which `fetch` cannot do. */

import { disconnected, problemOf } from "./problem";
import { token } from "./session";
import { send } from "./transport";

/**
 * POST a form.
 *
 * @param progress is told the share that has left, from 0 to 1
 * @throws Problem
 */
export async function upload<T>(path: string, form: FormData, key: string, progress: (share: number) => void, signal: AbortSignal): Promise<T> {
  if (__FAKE__) return (await (await send(new Request(new URL(path, location.origin), { method: "POST", body: form }))).json()) as T;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    const held = token();
    if (held) request.setRequestHeader("Authorization", `Bearer ${held}`);
    request.setRequestHeader("Idempotency-Key", key);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(disconnected(true));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText) as T);
      else void problemOf(new Response(request.responseText, { status: request.status || 502 })).then(reject);
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
