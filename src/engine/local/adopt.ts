import type { Logger } from "../../lib/logger.ts";
import { UUID } from "../../lib/uuid.ts";
import { type CheckProgress, healthOf } from "../../model/health.ts";
import type { ObservedState } from "../engine.ts";
import { groupsOf, killGroup } from "./cgroup.ts";
import { DynoFolder, dynoFolders, type Labels, type ProcessRef, type StartedFacts } from "./dyno-folder.ts";
import type { DynoNetwork } from "./network.ts";
import type { Tombstones } from "./tombstones.ts";
import { dynoVolumeOf, moveWatcher, runtimeOf, takeAway, type Workshop } from "./workshop.ts";

/** A dyno of an earlier host process. */
export interface Adopted {
  readonly folder: DynoFolder;
  readonly labels: Labels;
  readonly state: Exclude<ObservedState, { kind: "creating" }>;
  readonly network: DynoNetwork | null;
  readonly started: StartedFacts | null;
  /** What its checks had found out. */
  readonly known: readonly CheckProgress[];
}

/**
 * Finds what an earlier host process left, at whatever instant it died: dynos that run or have ended are adopted, half-made
 * and half-removed ones are taken apart, and so is all that no dyno's folder accounts for.
 */
export async function adoptDynos(shop: Workshop, bundles: string, tombstones: Tombstones): Promise<readonly Adopted[]> {
  const adopted: Adopted[] = [];
  for (const id of await dynoFolders(bundles)) {
    const folder = new DynoFolder(bundles, id);
    const dyno = tombstones.has(id) ? undefined : await adoptDyno(shop, folder);
    if (dyno) adopted.push(dyno);
    else await forget(shop, folder, id);
  }
  await sweep(shop, new Set(adopted.map(({ labels }) => labels.id)));
  return adopted;
}

/** undefined: it was never whole, or is not any more. */
async function adoptDyno(shop: Workshop, folder: DynoFolder): Promise<Adopted | undefined> {
  const [labels, ended, facts] = await Promise.all([folder.labels(), folder.ended(), folder.network()]);
  if (labels === undefined) return undefined;
  if (ended !== undefined) return { folder, labels, state: ended, network: null, started: null, known: [] };
  const started = (await folder.started()) ?? (await startedUnseen(shop, folder, labels));
  if (started === undefined || facts === undefined) return undefined;
  const network = shop.network.adopt(facts.index, labels.kind);
  if (network === undefined) {
    shop.logger.warn("adopt.no_network", { dynoId: labels.id, index: facts.index });
    return undefined;
  }
  const [listening, known] = await Promise.all([folder.listening(), folder.health()]);
  const health = labels.checks && healthOf(labels.checks, known ?? []);
  return {
    folder,
    labels,
    state: { kind: "running", since: started.at, listening, address: network.address, ...(health && { health }) },
    network,
    started,
    known: known ?? [],
  };
}

/** The host process died between letting the command begin and noting it, perhaps before it moved the dyno's conmon. */
async function startedUnseen(
  shop: Workshop,
  folder: DynoFolder,
  { id, isolation }: Labels,
): Promise<StartedFacts | undefined> {
  const state = await runtimeOf(shop, isolation).state(id);
  const hasRun = state === "running" || (state === "stopped" && folder.exitStatus() !== undefined);
  if (!hasRun) return undefined;
  const conmon = await folder.conmon();
  if (conmon) await moveWatcher(shop, id, conmon);
  const started = { at: shop.clock.now(), conmon: conmon ?? GONE };
  await folder.setStarted(started);
  return started;
}

const GONE: ProcessRef = { pid: 0, startedAt: "" };

async function forget(shop: Workshop, folder: DynoFolder, id: string): Promise<void> {
  await settle(shop.logger, "adopt.unfinished", { dynoId: id }, () => takeAway(shop, folder, id));
}

/** Volumes and groups of dynos that nothing is known of: the machine or the container that we run in was restarted. */
async function sweep(shop: Workshop, known: ReadonlySet<string>): Promise<void> {
  const volumes = await shop.store.list();
  const volumesKept = new Set([...known].map(dynoVolumeOf));
  for (const name of volumes)
    if (name.startsWith("dyno-") && !volumesKept.has(name))
      await settle(shop.logger, "adopt.sweep", { volume: name }, () => shop.store.remove(name));
  for (const name of await groupsOf(shop.cgroups))
    if (UUID.test(name) && !known.has(name))
      await settle(shop.logger, "adopt.sweep", { dynoId: name }, () => takeApartGroup(shop, name));
  for (const [id, changedAt] of await shop.logs.list())
    if (!known.has(id) && changedAt < shop.clock.now() - UNCLAIMED_LOG_MS)
      await settle(shop.logger, "adopt.sweep", { log: id }, () => shop.logs.remove(id));
}

/** After a reboot the daemon may still want to read what was written before it. */
const UNCLAIMED_LOG_MS = 24 * 3_600_000;

async function takeApartGroup(shop: Workshop, id: string): Promise<void> {
  for (const runtime of [shop.runtime, shop.gvisor]) await runtime.delete(id).catch(() => {}); // the group is killed next, which is what counts
  await killGroup(shop.cgroups, id, shop.clock);
}

/** One that cannot be cleaned must not keep the others from being adopted. */
async function settle(
  logger: Logger,
  event: string,
  facts: Readonly<Record<string, unknown>>,
  body: () => Promise<void>,
): Promise<void> {
  try {
    await body();
    logger.info(event, facts);
  } catch (error) {
    logger.error(`${event}_failed`, { ...facts, error });
  }
}
