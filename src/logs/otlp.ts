import type { LogLine } from "./line.ts";

/** Log lines as OTLP has them in JSON (opentelemetry-proto, `ExportLogsServiceRequest`), one resource for each process. */
export function exportRequest(lines: readonly LogLine[], appName: string, observedAt: number): object {
  const byProcess = Map.groupBy(lines, ({ source, process }) => `${source} ${process}`);
  return {
    resourceLogs: [...byProcess.values()].map((own) => ({
      resource: { attributes: resourceOf(own[0], appName) },
      scopeLogs: [{ scope: { name: "stator" }, logRecords: own.map((line) => recordOf(line, observedAt)) }],
    })),
  };
}

function resourceOf(line: LogLine | undefined, appName: string): readonly object[] {
  return [
    attribute("service.name", appName),
    attribute("service.instance.id", line?.process ?? ""),
    attribute("log.source", line?.source ?? ""),
  ];
}

function recordOf({ at, micros = 0, source, process, text }: LogLine, observedAt: number): object {
  // Of the platform's own lines those of its log system tell of losses; all others are news.
  const isWarning = source === "heroku" ? process === "logplex" : process === "log-shuttle";
  return {
    timeUnixNano: nanosOf(at, micros),
    observedTimeUnixNano: nanosOf(observedAt, 0),
    severityNumber: isWarning ? 13 : 9,
    severityText: isWarning ? "WARN" : "INFO",
    body: { stringValue: text },
    attributes: [],
  };
}

/** 64 bits are text in JSON. */
function nanosOf(ms: number, micros: number): string {
  return String(BigInt(ms) * 1_000_000n + BigInt(micros) * 1_000n);
}

function attribute(key: string, stringValue: string): object {
  return { key, value: { stringValue } };
}
