import type { AppJson } from "../api.ts";
import { appIfAny, appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, keyed, print, titled } from "../output.ts";
import { listOf, wordOf } from "../words.ts";

interface TelemetryDrainJson {
  readonly id: string;
  readonly owner: { readonly id: string; readonly type: string };
  readonly signals: readonly string[];
  readonly exporter: {
    readonly type: string;
    readonly endpoint: string;
    readonly headers?: Readonly<Record<string, string>>;
  };
}

export async function list(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const drains = await client.get<readonly TelemetryDrainJson[]>(`/apps/${app}/telemetry-drains`);
  if (input.has("json")) json(drains);
  else if (drains.length === 0) print(`There are no telemetry drains in ${app}`);
  else {
    const rows = drains.map(({ id, signals, exporter }) => [id, signals.join(","), exporter.endpoint]);
    print(`=== ${app} Telemetry Drains\n`);
    for (const line of titled([["ID", "Signals", "Endpoint"], ...rows])) print(line);
  }
  return 0;
}

export async function add(input: Input): Promise<number> {
  const endpoint = wordOf("telemetry:add", "ENDPOINT", input);
  const signals = signalsOf(input.text("signals") ?? "all");
  const exporter = { endpoint, type: exporterOf(input.text("transport") ?? "http"), headers: headersOf(input) ?? {} };
  const client = new Client();
  const { id } = await client.get<AppJson>(`/apps/${await appOf(input, client.platform)}`);
  const body = { owner: { id, type: "app" }, signals, exporter };
  const drain = await client.call<TelemetryDrainJson>("POST", "/telemetry-drains", { body });
  print(`successfully added drain ${drain.exporter.endpoint}`);
  return 0;
}

export async function info(input: Input): Promise<number> {
  const client = new Client();
  const drain = await client.get<TelemetryDrainJson>(pathOf(wordOf("telemetry:info", "ID", input)));
  if (input.has("json")) json(drain);
  else await show(client, drain);
  return 0;
}

export async function update(input: Input): Promise<number> {
  const id = wordOf("telemetry:update", "ID", input);
  const [endpoint, signals, transport] = ["endpoint", "signals", "transport"].map((name) => input.text(name));
  const headers = headersOf(input);
  const exporter = {
    ...(endpoint !== undefined && { endpoint }),
    ...(headers !== undefined && { headers }),
    ...(transport !== undefined && { type: exporterOf(transport) }),
  };
  const body = {
    ...(signals !== undefined && { signals: signalsOf(signals) }),
    ...(Object.keys(exporter).length > 0 && { exporter }),
  };
  if (Object.keys(body).length === 0)
    throw new UsageError("Requires either --signals, --endpoint, --transport or --headers to be provided.");
  const client = new Client();
  const drain = await action(`Updating telemetry drain ${id}`, () =>
    client.call<TelemetryDrainJson>("PATCH", pathOf(id), { body }),
  );
  if (!input.has("json")) await show(client, drain);
  return 0;
}

export async function remove(input: Input): Promise<number> {
  const client = new Client();
  const [id, extra] = input.positionals;
  if (extra !== undefined) throw new UsageError(`Unexpected argument: ${extra}`);
  if (id !== undefined) {
    await action(`Removing telemetry drain ${id}`, () => client.call("DELETE", pathOf(id)));
    return 0;
  }
  const app = await appIfAny(input, client.platform);
  if (app === undefined) throw new UsageError("Requires either --app or an ID to be provided.");
  await action(`Removing all telemetry drains from app ${app}`, async () => {
    for (const drain of await client.get<readonly TelemetryDrainJson[]>(`/apps/${app}/telemetry-drains`))
      await client.call("DELETE", pathOf(drain.id));
  });
  return 0;
}

const pathOf = (id: string): string => `/telemetry-drains/${encodeURIComponent(id)}`;

async function show(client: Client, { id, owner, signals, exporter }: TelemetryDrainJson): Promise<void> {
  const { name } = await client.get<AppJson>(`/apps/${owner.id}`);
  const facts = {
    App: name,
    Signals: signals.join(", "),
    Endpoint: exporter.endpoint,
    Transport: exporter.type === "otlp" ? "gRPC" : "HTTP",
    ...(exporter.headers && { Headers: JSON.stringify(exporter.headers) }),
  };
  print(`=== ${id}\n`);
  for (const line of keyed(Object.entries(facts))) print(line);
}

const SIGNALS = ["traces", "metrics", "logs"];

/** Throws `UsageError`. */
function signalsOf(text: string): readonly string[] {
  if (text === "all") return SIGNALS;
  const signals = listOf(text);
  const unknown = signals.find((signal) => !SIGNALS.includes(signal));
  if (unknown !== undefined || signals.length === 0)
    throw new UsageError(`Invalid signal option: ${text}. Say traces, metrics, logs, or all.`, 1);
  return signals;
}

/** Throws `UsageError`. */
function exporterOf(transport: string): string {
  const type = ({ http: "otlphttp", grpc: "otlp" } as Readonly<Record<string, string>>)[transport];
  if (type === undefined) throw new UsageError(`Expected --transport=${transport} to be one of: http, grpc`);
  return type;
}

/** Throws `UsageError`. */
function headersOf(input: Input): unknown {
  const text = input.text("headers");
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`--headers must be JSON, as '{"x-key": "value"}'.`);
  }
}
