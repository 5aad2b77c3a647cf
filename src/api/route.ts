import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, HTTPMethods } from "fastify";
import type { Static, TArray, TSchema, TUnknown } from "typebox";
import { actingAs } from "../lib/acting.ts";
import type { Clock } from "../lib/clock.ts";
import type { App, User } from "../model/app.ts";
import type { Access } from "../model/collaborator.ts";
import { PlatformError } from "../model/errors.ts";
import type { Permission } from "../model/permission.ts";
import type { Token } from "../store/store.ts";
import { type Address, addressOf } from "./address.ts";
import { type Audit, fieldsOf } from "./audit.ts";
import { type Caller, type Power, type Rule } from "./auth.ts";
import { paginate } from "./pagination.ts";
import { Repeats } from "./repeats.ts";
import { Anything } from "./schema.ts";

/** What a handler is given. */
export interface Call<Body = unknown> {
  readonly body: Body;
  /** From the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | undefined>>;
  /** How the client reached us: what it can reach again. */
  readonly address: Address;
  /** The variant `3.sdk` of the API was asked for. */
  readonly isSdk: boolean;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** Facts for the audit log, told before the first change: no secrets. Names of the body's fields are there already. */
  readonly tell: (facts: Readonly<Record<string, unknown>>) => void;
  /**
   * For the audit log, told before the first change: the apps that the call is about, where its path names none. Each has an entry of its
   * own. Say it before what may be refused.
   */
  readonly about: (...apps: readonly Pick<App, "id" | "name">[]) => void;
}

/** What a call is told to be, beside its path. */
interface Told {
  readonly data: Record<string, unknown>;
  readonly apps: Pick<App, "id" | "name">[];
}

export interface AccountCall<Body = unknown> extends Call<Body> {
  readonly user: User;
  readonly token: Token;
}

export interface AppCall<Body = unknown> extends AccountCall<Body> {
  readonly app: App;
  /** For calls that take more than their route does, by what is in the body: see `demand`. */
  readonly access: Access;
}

interface Shape<R extends TSchema, B extends TSchema> {
  /** `GET /apps/:app` */
  readonly path: `${"GET" | "POST" | "PATCH" | "PUT" | "DELETE"} /${string}`;
  readonly body?: B;
  readonly response: R;
  /** Default 200. */
  readonly status?: number;
  /** What the audit log says of it: by default a change of everything but GET. */
  readonly audit?: "change" | "read" | "none";
  /** A list: what it may be ordered by, the first by default (platform-api 1.5). */
  readonly orderBy?: R extends TArray<infer Item extends TSchema> ? readonly (keyof Static<Item> & string)[] : never;
}

interface Powered<R extends TSchema, B extends TSchema> extends Shape<R, B> {
  /** What the token must allow; absent: reading for GET, writing for the rest, config vars excluded. */
  readonly power?: Power;
  /** Not counted against the rate limit. */
  readonly isFree?: boolean;
}

interface OfApp<R extends TSchema, B extends TSchema> extends Omit<Powered<R, B>, "isFree"> {
  /** The permission on the app that it takes. */
  readonly needs: Permission;
  /** Dynos may start at once: see `Engine.expectStart`. */
  readonly startsDynos?: boolean;
}

type Answer<T> = Promise<T> | T;

/** Adds routes to the server, each with its rule and its schemas. */
export class Routes {
  readonly #server: FastifyInstance;
  readonly #audit: Audit;
  readonly #repeats: Repeats;

  constructor(server: FastifyInstance, audit: Audit, clock: Clock) {
    this.#server = server;
    this.#audit = audit;
    this.#repeats = new Repeats(clock);
  }

  open<R extends TSchema, B extends TSchema = TUnknown>(
    shape: Shape<R, B>,
    handle: (call: Call<Static<B>>) => Answer<Static<R>>,
  ): void {
    this.#add({ audit: "none", ...shape }, { kind: "open" }, (call) => handle(call));
  }

  account<R extends TSchema, B extends TSchema = TUnknown>(
    shape: Powered<R, B>,
    handle: (call: AccountCall<Static<B>>) => Answer<Static<R>>,
  ): void {
    const rule: Rule = { kind: "account", power: powerOf(shape), isFree: shape.isFree ?? false };
    this.#add(shape, rule, (call, caller) => handle({ ...call, user: caller().user, token: caller().token }));
  }

  /** For those who see to the whole platform. */
  operator<R extends TSchema, B extends TSchema = TUnknown>(
    shape: Omit<Powered<R, B>, "isFree">,
    handle: (call: AccountCall<Static<B>>) => Answer<Static<R>>,
  ): void {
    const rule: Rule = { kind: "operator", power: shape.power ?? "global" };
    this.#add(shape, rule, (call, caller) => handle({ ...call, user: caller().user, token: caller().token }));
  }

  app<R extends TSchema, B extends TSchema = TUnknown>(
    shape: OfApp<R, B>,
    handle: (call: AppCall<Static<B>>) => Answer<Static<R>>,
  ): void {
    const { needs, startsDynos = false } = shape;
    this.#add(shape, { kind: "app", power: powerOf(shape), needs, startsDynos }, (call, caller) => {
      const { user, token, access } = caller();
      if (access === undefined) throw new Error(`${shape.path} has no :app`);
      return handle({ ...call, user, token, app: access.app, access });
    });
  }

  #add<R extends TSchema, B extends TSchema>(
    shape: Shape<R, B>,
    rule: Rule,
    handle: (call: Call<Static<B>>, caller: () => Caller) => Answer<Static<R>>,
  ): void {
    const space = shape.path.indexOf(" ");
    const schema: FastifySchema = {
      ...(hasBody(shape) && { body: shape.body ?? Anything }),
      response: { "2xx": shape.response },
    };
    this.#server.route({
      method: shape.path.slice(0, space) as HTTPMethods, // by the type of `path`
      url: shape.path.slice(space + 1),
      config: { rule },
      schema,
      handler: async (request, reply) => {
        const told: Told = { data: { ...fieldsOf(request.body) }, apps: [] };
        const call = callOf<Static<B>>(request, reply, told);
        const act = async () => this.#told(shape, request, told, async () => handle(call, () => callerOf(request)));
        const who = callers.get(request)?.user.id;
        const value = await (who === undefined
          ? act()
          : this.#repeats.once({ request, reply }, () => actingAs(who, act), who));
        if (reply.sent) return reply; // a stream, which wrote its own head
        if (reply.statusCode === 200) reply.code(shape.status ?? 200); // else it is a page of a list
        if (shape.orderBy === undefined || !Array.isArray(value)) return reply.send(value);
        const page = paginate<unknown>(value, request.headers.range, shape.orderBy);
        return reply.code(page.status).headers(page.headers).send(page.items);
      },
    });
  }

  /** Does it, and tells the audit log. */
  async #told<T>(
    { path, audit = path.startsWith("GET ") ? "none" : "change" }: Pick<Shape<TSchema, TSchema>, "path" | "audit">,
    request: FastifyRequest,
    told: Told,
    handle: () => Promise<T>,
  ): Promise<T> {
    const events = (outcome: "done" | "refused" = "done") => {
      const event = { ...this.#audit.eventOf(request, path, callers.get(request) ?? {}, told.data), outcome };
      return told.apps.length === 0 ? [event] : told.apps.map(({ id, name }) => ({ ...event, app: { id, name } }));
    };
    try {
      if (audit === "none") return await handle();
      if (audit === "change") return await this.#audit.change(events, handle);
      const value = await handle();
      await this.#audit.note(...events());
      return value;
    } catch (error) {
      const isRefused = error instanceof PlatformError && error.id === "forbidden" && callers.has(request);
      if (isRefused) await this.#audit.note(...events("refused"));
      throw error;
    }
  }
}

function powerOf(shape: { readonly path: string; readonly power?: Power }): Power {
  return shape.power ?? (shape.path.startsWith("GET ") ? "read-protected" : "write-protected");
}

function hasBody(shape: { readonly path: string }): boolean {
  return !shape.path.startsWith("GET ");
}

function callOf<Body>(request: FastifyRequest, reply: FastifyReply, told: Told): Call<Body> {
  return {
    body: request.body as Body, // it passed the route's schema
    params: request.params as Readonly<Record<string, string>>,
    query: request.query as Readonly<Record<string, string | undefined>>,
    address: addressOf(request),
    isSdk: /version=3\.sdk\b/.test(request.headers.accept ?? ""),
    request,
    reply,
    tell: (facts) => void Object.assign(told.data, facts),
    about: (...apps) => void told.apps.push(...apps),
  };
}

const callers = new WeakMap<FastifyRequest, Caller>();

/** Remembers who makes the request, once the rule has let them in. */
export function setCaller(request: FastifyRequest, caller: Caller): void {
  callers.set(request, caller);
}

export function callerOf(request: FastifyRequest): Caller {
  const caller = callers.get(request);
  if (caller === undefined) throw new Error("nobody was let in to this route");
  return caller;
}

/** The rule that the route was added with; undefined: none, and the server must not start. */
export function ruleOf(config: object): Rule | undefined {
  return (config as { readonly rule?: Rule }).rule;
}
