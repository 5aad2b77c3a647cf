/** What a request met that was not simply answered (spec 6.4). Statuses are what clients see, whatever HAProxy notes. */
export interface ErrorCode {
  readonly code: string;
  readonly description: string;
  readonly at: "error" | "warning" | "info";
  readonly status: number;
  /** Which side broke off, where the line tells it. */
  readonly socket?: "client" | "backend";
}

const CODES = {
  H10: { description: "App crashed", at: "error", status: 503 },
  H11: { description: "Backlog too deep", at: "error", status: 503 },
  H12: { description: "Request timeout", at: "error", status: 503 },
  H13: { description: "Connection closed without response", at: "error", status: 503 },
  H14: { description: "No web processes running", at: "error", status: 503 },
  H15: { description: "Idle connection", at: "error", status: 503 },
  H17: { description: "Poorly formatted HTTP response", at: "error", status: 503 },
  H18: { description: "Server Request Interrupted", at: "error", status: 503, socket: "backend" },
  H19: { description: "Backend connection timeout", at: "error", status: 503 },
  H20: { description: "App boot timeout", at: "error", status: 503 },
  H21: { description: "Backend connection refused", at: "error", status: 503 },
  H22: { description: "Connection limit reached", at: "error", status: 503 },
  H25: { description: "HTTP restriction: oversized cookie", at: "error", status: 502 },
  "H25-length": { description: "HTTP restriction: invalid content length", at: "error", status: 502 },
  H27: { description: "Client Request Interrupted", at: "warning", status: 499, socket: "client" },
  H28: { description: "Client Connection Idle", at: "warning", status: 499 },
  H31: { description: "Misdirected Request", at: "error", status: 421 },
  H34: { description: "All up dynos are quarantined", at: "error", status: 503 },
  H80: { description: "Maintenance mode", at: "info", status: 503 },
  H81: { description: "Blank app", at: "info", status: 502 },
  H99: { description: "Platform error", at: "error", status: 503 },
} as const satisfies Record<string, Omit<ErrorCode, "code">>;

export type ErrorCodeName = keyof typeof CODES;

/** Codes that HAProxy's rules decide themselves and name in the request line; the rest is read from how a request ended. */
export const DECIDED_CODES = [
  "H10",
  "H11",
  "H14",
  "H20",
  "H22",
  "H25",
  "H27",
  "H31",
  "H34",
  "H80",
  "H81",
] as const satisfies readonly ErrorCodeName[];

export function errorCode(name: ErrorCodeName): ErrorCode {
  return { code: name.slice(0, 3), ...CODES[name] };
}

/** The code of this name, if it is one. */
export function errorCodeNamed(name: string): ErrorCode | undefined {
  return Object.hasOwn(CODES, name) ? errorCode(name as ErrorCodeName) : undefined; // just looked
}

/**
 * What HAProxy's termination flags mean (docs/routing.md has the table, each measured): the first tells who ended it (C, c:
 * the client left, was idle; S, s: the dyno; P: what came broke the protocol), the second when (C connecting, H before
 * the answer's headers, D during its body, L last words, Q queued, R before the request was whole).
 */
export function codeOfFlags(flags: string): ErrorCode | undefined {
  const [who = "-", when = "-"] = flags;
  switch (who) {
    case "-":
    case "L":
      return undefined;
    case "C":
      return errorCode("H27");
    case "c":
      return errorCode("H28");
    case "S":
      return errorCode(when === "C" ? "H21" : when === "D" || when === "L" ? "H18" : when === "Q" ? "H20" : "H13");
    case "s":
      return errorCode(when === "C" ? "H19" : when === "D" || when === "L" ? "H15" : when === "Q" ? "H20" : "H12");
    case "P":
      return errorCode("H17");
    default:
      return errorCode("H99");
  }
}
