import { type LogLine, timestampOf } from "./line.ts";

/** What of a drain's messages goes out together. */
export interface Frame {
  /** The same when it is sent again. */
  readonly id: string;
  readonly messages: readonly LogLine[];
}

/** One message as RFC 5424 has it but for its STRUCTURED-DATA, which Logplex leaves out over HTTP (spec 8.4). */
export function httpMessage(line: LogLine): string {
  return `<${priorityOf(line)}>1 ${timestampOf(line)} host ${line.source} ${line.process} - ${line.text}\n`;
}

/** Over syslog the drain's token is the host, and the structured data are there, and nil. */
export function syslogMessage(line: LogLine, token: string): string {
  return `<${priorityOf(line)}>1 ${timestampOf(line)} ${token} ${line.source} ${line.process} - - ${line.text}\n`;
}

/** Messages one after the other, each behind its number of bytes (RFC 6587, octet counting). */
export function framed(messages: readonly string[]): Buffer {
  return Buffer.concat(
    messages.map((message) => {
      const bytes = Buffer.from(message, "utf8");
      return Buffer.concat([Buffer.from(`${bytes.length} `), bytes]);
    }),
  );
}

/** That a drain dropped messages, as its receiver is told in their place (spec 6.3). */
export function lossLine(count: number, since: number, at: number): LogLine {
  const second = `${new Date(since).toISOString().slice(0, 19)}+00:00`;
  const text = `Error L10 (output buffer overflow): ${count} messages dropped since ${second}.`;
  return { at, source: "heroku", process: "logplex", text };
}

/** Facility and severity (spec 8.4). */
function priorityOf({ source, process }: LogLine): number {
  if (source === "app") return process === "api" ? 133 : process === "log-shuttle" ? 172 : 190;
  if (process === "router") return 158;
  return process === "logplex" ? 172 : 134;
}
