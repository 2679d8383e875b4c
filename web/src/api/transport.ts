/** How requests leave this page: with the tab's token, and every failure as a `Problem`. */

import { disconnected, problemOf } from "./problem";
import { token } from "./session";

type Fetch = (request: Request) => Promise<Response>;

/** Recorded data instead of a node, in the build that is made for it; in the other it is not there at all. */
export const raw: Fetch = __FAKE__ ? async (request) => (await import("../fake/fetch")).fakeFetch(request) : (request) => fetch(request);

export async function send(request: Request): Promise<Response> {
  const held = token();
  if (held) request.headers.set("Authorization", `Bearer ${held}`);
  let response: Response;
  try {
    response = await raw(request);
  } catch (error) {
    if (request.signal.aborted) throw error;
    throw disconnected(request.method !== "GET");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}
