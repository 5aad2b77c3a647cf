import { AsyncLocalStorage } from "node:async_hooks";
import { actor } from "../lib/acting.ts";
import type { Clock } from "../lib/clock.ts";
import type { NewAuditEvent } from "../model/audit.ts";
import { EndedDynos } from "./ended-dynos.ts";
import type { Outbox } from "./outbox.ts";
import { appTransferQueries } from "./queries/app-transfers.ts";
import { appQueries } from "./queries/apps.ts";
import { auditQueries, insertAudit } from "./queries/audit.ts";
import { buildpackQueries } from "./queries/buildpacks.ts";
import { buildQueries } from "./queries/builds.ts";
import { certificateQueries } from "./queries/certificates.ts";
import { checkQueries } from "./queries/checks.ts";
import { collaboratorQueries } from "./queries/collaborators.ts";
import { configQueries } from "./queries/config.ts";
import { domainQueries } from "./queries/domains.ts";
import { dynoQueries } from "./queries/dynos.ts";
import { egressRuleQueries } from "./queries/egress-rules.ts";
import { accountFeatureQueries, featureQueries } from "./queries/features.ts";
import { formationQueries } from "./queries/formation.ts";
import { logDrainQueries } from "./queries/log-drains.ts";
import { oauthClientQueries } from "./queries/oauth-clients.ts";
import { pipelineQueries } from "./queries/pipelines.ts";
import { recordedAppQueries } from "./queries/recorded-apps.ts";
import { releaseQueries } from "./queries/releases.ts";
import { routingQueries } from "./queries/routing.ts";
import { scheduleQueries } from "./queries/schedules.ts";
import { slugQueries } from "./queries/slugs.ts";
import { sshKeyQueries } from "./queries/ssh-keys.ts";
import { telemetryDrainQueries } from "./queries/telemetry-drains.ts";
import { tokenQueries } from "./queries/tokens.ts";
import { userQueries } from "./queries/users.ts";
import { webhookQueries } from "./queries/webhooks.ts";
import type { RandomBytes, Secrets } from "./secrets.ts";
import type { Store } from "./store.ts";
import type { Database } from "./tables.ts";
import type { Touch, Work } from "./work.ts";

export interface StoreParts {
  readonly db: Database;
  readonly secrets: Secrets;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly outbox: Outbox;
  readonly endedDynos: EndedDynos;
}

/** A `Store` over any dialect. The connection is one: reads and writers wait for the transaction that is open. */
export function databaseStore(opened: Omit<StoreParts, "endedDynos">): Store {
  const parts: StoreParts = { ...opened, endedDynos: new EndedDynos() };
  const listeners = new Set<(appId: string) => void>();
  const here = new AsyncLocalStorage<Transaction>();
  const telling = new AsyncLocalStorage<Telling>();

  async function transact<T>(body: (transaction: Transaction) => Promise<T>): Promise<T> {
    refuseInside(here);
    const touched = new Set<string>();
    let isWhole = false;
    const told = telling.getStore()?.take();
    try {
      return await parts.db.transaction().execute(async (db) => {
        const transaction = new Transaction(db, (appId) => touched.add(appId));
        try {
          const value = await here.run(transaction, () => body(transaction));
          transaction.throwIfFailed();
          if (told) await insertAudit(parts, db, ...told.events());
          await parts.outbox.sign(db, actor(), parts.clock.now());
          isWhole = true;
          return value;
        } finally {
          transaction.isOpen = false;
        }
      });
    } catch (error) {
      told?.giveBack();
      throw error;
    } finally {
      // Also when the commit itself failed: it may have taken effect all the same, and whoever listens looks.
      for (const appId of isWhole ? touched : []) for (const listener of listeners) listener(appId);
    }
  }

  const work: Work = {
    ...parts,
    read: async (body) => {
      refuseInside(here);
      return body(parts.db);
    },
    write: (body) => transact((transaction) => body(transaction.db, transaction.touch)),
  };
  const audited: Store["audited"] = async (events, body) => {
    const mine = new Telling(events);
    try {
      const value = await telling.run(mine, body);
      const left = mine.take();
      if (left) await work.write((db) => insertAudit(parts, db, ...left.events()));
      return value;
    } finally {
      mine.take(); // what goes on after `body` is not part of it
    }
  };
  const onChange = (listener: (appId: string) => void): Disposable => {
    listeners.add(listener);
    return { [Symbol.dispose]: () => void listeners.delete(listener) };
  };
  return {
    ...queries(work),
    transaction: (body) => transact((transaction) => body(innerStore(parts, transaction, onChange))),
    audited,
    onChange,
    [Symbol.asyncDispose]: () => parts.db.destroy(),
  };
}

/** Events that the next transaction takes with it. */
class Telling {
  #events: (() => readonly NewAuditEvent[]) | undefined;

  constructor(events: () => readonly NewAuditEvent[]) {
    this.#events = events;
  }

  /** For one taker; undefined: somebody has it. */
  take(): { readonly events: () => readonly NewAuditEvent[]; readonly giveBack: () => void } | undefined {
    const events = this.#events;
    this.#events = undefined;
    return events && { events, giveBack: () => void (this.#events = events) };
  }
}

/** One open transaction. What failed in it fails all of it, also when somebody inside caught the error. */
class Transaction {
  readonly db: Database;
  readonly touch: Touch;
  isOpen = true;
  #failure: { readonly error: unknown } | undefined;

  constructor(db: Database, touch: Touch) {
    this.db = db;
    this.touch = touch;
  }

  async join<T>(body: () => Promise<T>): Promise<T> {
    if (!this.isOpen) throw new Error("This transaction has ended: its store cannot be used any more.");
    try {
      return await body();
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
  }

  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

/** The store that a transaction's body is given. */
function innerStore(parts: StoreParts, transaction: Transaction, onChange: Store["onChange"]): Store {
  const work: Work = {
    ...parts,
    read: (body) => transaction.join(() => body(transaction.db)),
    write: (body) => transaction.join(() => body(transaction.db, transaction.touch)),
  };
  const store: Store = {
    ...queries(work),
    transaction: (body) => transaction.join(() => body(store)),
    audited: (events, body) =>
      transaction.join(async () => {
        const value = await body();
        await insertAudit(parts, transaction.db, ...events());
        return value;
      }),
    onChange,
    [Symbol.asyncDispose]: async () => {}, // the transaction's end is its end
  };
  return store;
}

function queries(work: Work): Omit<Store, "transaction" | "audited" | "onChange" | typeof Symbol.asyncDispose> {
  return {
    users: userQueries(work),
    tokens: tokenQueries(work),
    sshKeys: sshKeyQueries(work),
    oauthClients: oauthClientQueries(work),
    collaborators: collaboratorQueries(work),
    audit: auditQueries(work),
    apps: appQueries(work),
    appTransfers: appTransferQueries(work),
    domains: domainQueries(work),
    egressRules: egressRuleQueries(work),
    recordedApps: recordedAppQueries(work),
    routing: routingQueries(work),
    config: configQueries(work),
    features: featureQueries(work),
    accountFeatures: accountFeatureQueries(work),
    slugs: slugQueries(work),
    releases: releaseQueries(work),
    builds: buildQueries(work),
    buildpacks: buildpackQueries(work),
    pipelines: pipelineQueries(work),
    formation: formationQueries(work),
    dynos: dynoQueries(work),
    schedules: scheduleQueries(work),
    checks: checkQueries(work),
    certificates: certificateQueries(work),
    logDrains: logDrainQueries(work),
    telemetryDrains: telemetryDrainQueries(work),
    webhooks: webhookQueries(work),
  };
}

/** The outer store, used inside a transaction, would wait for that transaction for ever. */
function refuseInside(here: AsyncLocalStorage<Transaction>): void {
  if (here.getStore()?.isOpen) throw new Error("Inside a transaction, use the store that it passes to its body.");
}
