import { randomUUID } from "node:crypto";
import Type, { type Static } from "typebox";
import { Check } from "typebox/value";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import { logStream } from "../log-stream.ts";
import type { LogFilter } from "../logs-interface.ts";
import type { Call, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, nullable, Uuid } from "../schema.ts";
import { sendStream } from "../stream.ts";

const LogSession = exactly({ created_at: DateTime, id: Uuid, logplex_url: Type.String(), updated_at: DateTime });

const CreateBody = Type.Object(
  {
    /** A dyno's name, or a process type. The schema calls it `dyno_name`, the CLI `dyno` (platform-api 3.2). */
    dyno: Type.Optional(nullable(Type.String({ maxLength: 200 }))),
    dyno_name: Type.Optional(nullable(Type.String({ maxLength: 200 }))),
    type: Type.Optional(nullable(Type.String({ maxLength: 200 }))),
    lines: Type.Optional(nullable(Type.Union([Type.Integer(), Type.String()]))),
    source: Type.Optional(nullable(Type.String({ maxLength: 200 }))),
    tail: Type.Optional(nullable(Type.Boolean())),
  },
  { additionalProperties: true }, // clients of several generations (platform-api 3.2)
);

/** What the URL of a session carries, sealed. */
const Session = exactly({
  app: Uuid,
  token: Uuid,
  at: Type.Integer(),
  lines: Type.Integer(),
  tail: Type.Boolean(),
  dyno: nullable(Type.String()),
  source: nullable(Type.Union([Type.Literal("app"), Type.Literal("heroku")])),
});
type Session = Static<typeof Session>;

const LINES = 100;
const LINES_MAX = 1500;
/** To be opened within this time (spec 8.3). */
const OPEN_MS = 360_000;
/** A tail that broke may be taken up again for a day. */
const TAIL_MS = 86_400_000;
const PURPOSE = "log-session";
/** A comment, which readers skip. */
const KEEP_ALIVE = { text: ": still here\n\n", everyMs: 15_000 };

export function logSessionRoutes(routes: Routes, context: ApiContext): void {
  const { clock, signer, store, logs } = context;
  routes.app(
    {
      path: "POST /apps/:app/log-sessions",
      needs: "view",
      audit: "read",
      power: "read-protected",
      body: CreateBody,
      response: LogSession,
      status: 201,
    },
    ({ app, token, body, address }) => {
      const now = clock.now();
      const session: Session = {
        app: app.id,
        token: token.id,
        at: now,
        lines: linesOf(body.lines ?? LINES),
        tail: body.tail ?? false,
        dyno: body.dyno ?? body.dyno_name ?? body.type ?? null,
        source: sourceOf(body.source ?? null),
      };
      const url = address.link(`/stator/logs/${signer.seal(PURPOSE, session)}`);
      return { created_at: dateTime(now), id: randomUUID(), logplex_url: url, updated_at: dateTime(now) };
    },
  );
  routes.open({ path: "GET /stator/logs/:session", response: Type.Unknown() }, async (call) => {
    const lastId = lastEventId(call);
    const session = await sessionOf(call, lastId !== undefined);
    const isSse = /text\/event-stream/.test(call.request.headers.accept ?? "");
    const gone = new AbortController();
    call.reply.raw.once("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, context.until]);
    const { app: appId, lines, tail } = session;
    const body = logStream({ logs, appId, filter: filterOf(session), lines, tail, lastId, isSse, signal });
    if (!isSse) return sendStream(call.reply, { type: "text/plain; charset=utf-8", body });
    return sendStream(call.reply, { type: "text/event-stream", body, keepAlive: { ...KEEP_ALIVE, clock } });
  });

  async function sessionOf({ params }: Call, isResumed: boolean): Promise<Session> {
    const session = signer.open(PURPOSE, params["session"] ?? "");
    const gone = new PlatformError("not_found", "This log session is over; please ask for a new one.", {
      resource: "log_session",
    });
    if (!Check(Session, session)) throw gone;
    const ageMs = clock.now() - session.at;
    if (ageMs > (session.tail && isResumed ? TAIL_MS : OPEN_MS)) throw gone;
    const token = await store.tokens.byId(session.token);
    const isLive = token !== undefined && (token.expiresAt === null || token.expiresAt > clock.now());
    const user = isLive ? await store.users.byId(token.userId) : undefined;
    if (user === undefined || user.suspendedAt !== null) throw gone;
    if ((await store.apps.findFor(user.id, session.app)) === undefined) throw gone;
    return session;
  }
}

function filterOf({ source, dyno }: Session): LogFilter {
  return { ...(source !== null && { source }), ...(dyno !== null && { process: dyno }) };
}

function sourceOf(source: string | null): Session["source"] {
  if (source === null || source === "app" || source === "heroku") return source;
  throw new PlatformError("invalid_params", `There is no log source ${JSON.stringify(source)}: app or heroku.`);
}

function linesOf(lines: number | string): number {
  const number = Number(lines);
  if (Number.isSafeInteger(number) && number >= 0) return Math.min(number, LINES_MAX);
  throw new PlatformError("invalid_params", `lines must be a number, at most ${LINES_MAX}.`);
}

function lastEventId({ request }: Call): number | undefined {
  const id = Number(request.headers["last-event-id"] ?? Number.NaN);
  return Number.isSafeInteger(id) && id >= 0 ? id : undefined;
}
