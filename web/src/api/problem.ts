/** What went wrong, as the node tells it (RFC 9457): what happened, is the money safe, what to do. */

export interface ProblemBody {
  title: string;
  status: number;
  detail: string;
  code: string;
  hint: string;
  money: string;
}

export class Problem extends Error {
  constructor(readonly body: ProblemBody) {
    super(body.detail);
    this.name = "Problem";
  }

  /** Nothing of ours came back: the node is down, or something between here and there is. */
  get isDisconnected(): boolean {
    return this.body.status === 0;
  }

  get needsToken(): boolean {
    return this.body.status === 401;
  }
}

/** What a response that is not 2xx says; a proxy's own page, which is no problem document, is told by its status. */
export async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text().catch(() => "");
  try {
    const found = JSON.parse(text) as Partial<ProblemBody>;
    if (typeof found.code === "string" && typeof found.detail === "string") {
      return new Problem({
        title: found.title ?? "Error",
        status: response.status,
        detail: found.detail,
        code: found.code,
        hint: found.hint ?? "",
        money: found.money ?? "",
      });
    }
  } catch {
    // told below
  }
  if ([502, 503, 504].includes(response.status)) return disconnected(false);
  return new Problem({
    title: "The answer cannot be read",
    status: response.status,
    detail: `the node answered with status ${response.status} and no explanation`,
    code: "",
    hint: "look at the node's log",
    money: "",
  });
}

export function disconnected(sent: boolean): Problem {
  return new Problem({
    title: "The node does not answer",
    status: 0,
    detail: "this page cannot reach the node that serves it",
    code: "",
    hint: "see that `shoal up` or `shoal node run` still runs; this page tries again by itself",
    money: sent
      ? "what you sent may have arrived; sent again it carries the same key, so nothing is paid twice"
      : "a running training goes on without this page; money in escrow is kept by the contract, not by the node",
  });
}

/** Any thrown thing as a problem. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (isTold(error)) {
    const { message: detail, code, hint, money, status } = error;
    return new Problem({ title: "This did not work", status: status ?? -1, detail, code, hint, money });
  }
  return new Problem({
    title: "A fault of this page",
    status: -1,
    detail: error instanceof Error ? error.message : String(error),
    code: "",
    hint: "load the page again; if it stays, please report it",
    money: "nothing was spent by this",
  });
}

/** Errors of the browser's market library, which is not loaded here. */
function isTold(error: unknown): error is Error & { code: string; hint: string; money: string; status?: number } {
  return error instanceof Error && ["code", "hint", "money"].every((name) => typeof (error as unknown as Record<string, unknown>)[name] === "string");
}
