import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { Limit } from "../src/lib/limit.ts";
import { type App, Echo, RouterRig } from "../test/e2e/router-rig.ts";
import { percentile, type RowResult } from "./statistics.ts";

const APPS = 2_000;
const DOMAINS = 5;
const DYNOS = 5;
/** New apps at once, many more than there are spare backends. */
const STORM = 3_000;
const CHANGES = 200;

/**
 * One real HAProxy with its real host side, all apps, domains and dynos in it; the dynos but a few are addresses where nobody is.
 * From the call of the host side (the daemon's message has arrived) until HAProxy has taken it, or a request was answered.
 */
export async function measureScale(rounds: number): Promise<RowResult> {
  await using rig = await RouterRig.open();
  const dyno = await rig.dyno("web.1");
  const nobody = () => rig.dynoAt("web.2", `127.1.${Math.floor(Math.random() * 250)}.1`, 5_000);
  const apps = Array.from({ length: APPS }, () => rig.app());
  const filled = await timed(() =>
    Promise.all(
      apps.map((app) =>
        app.set({
          hosts: Array.from({ length: DOMAINS }, (_, index) => `www${index}.${app.host}`).with(0, app.host),
          dynoIds: [dyno, ...Array.from({ length: DYNOS - 1 }, nobody)],
        }),
      ),
    ),
  );
  const reloadsToFill = await rig.reloads();

  await settled();
  const [comes, goes] = [[] as number[], [] as number[]];
  for (let change = 0; change < CHANGES; change++) {
    const app = apps[(change * 37) % APPS] as App; // there are as many
    const before = app.route.dynoIds;
    comes.push(await timed(() => app.set({ dynoIds: [...before, nobody()] })));
    goes.push(await timed(() => app.set({ dynoIds: before })));
  }
  const reloadsOfDynos = (await rig.reloads()) - reloadsToFill;

  const news: number[] = [];
  for (let round = 0; round < rounds * 3; round++) news.push(await timed(() => routable(rig.app(), dyno)));
  const again = await timed(async () => {
    for (const app of apps.slice(0, 100)) await rig.haproxy?.setRoute(app.route);
  });

  const server = Echo.server().listen(0, "127.79.0.1");
  await once(server, "listening");
  const echoApp = rig.app();
  await echoApp.set({ dynoIds: [rig.dynoAt("web.1", "127.79.0.1", (server.address() as AddressInfo).port)] });
  const echoes: Echo[] = [];
  for (let count = 0; count < 50; count++) echoes.push(await Echo.open(rig.layout.httpPort, echoApp.host));
  const [reloads, newsMeanwhile] = [[] as number[], [] as number[]];
  const failures: string[] = [];
  let asked = 0;
  let done = false;
  const load = Promise.all(
    Array.from({ length: 8 }, async (_, client) => {
      for (let each = client; !done; each = (each + 8) % APPS) {
        asked++;
        const answer = await apps[each]?.ask().catch((error: unknown) => String(error));
        // A dyno where nobody is refuses, and another is taken; of five one answers.
        if (typeof answer !== "object" || ![200, 503].includes(answer.status)) failures.push(JSON.stringify(answer));
      }
    }),
  );
  for (let round = 0; round < rounds; round++) {
    const reload = timed(async () => rig.haproxy?.reload());
    let over = false;
    const news = (async () => {
      const told: Promise<void>[] = [];
      for (; !over; await pause(100)) {
        const app = rig.app();
        told.push(app.set({ dynoIds: [dyno] }));
        newsMeanwhile.push(await timed(() => answered(app)));
      }
      await Promise.all(told);
    })();
    reloads.push(await reload);
    over = true;
    await news;
    for (const echo of echoes) await echo.say(`round ${round}`).catch((error: unknown) => failures.push(String(error)));
  }
  done = true;
  await load;
  const kilobytes = await rig.workerKilobytes();

  for (const echo of echoes) echo.close();
  server.close();

  const deaths: number[] = [];
  const survivor = rig.app();
  await survivor.set({ dynoIds: [dyno] });
  for (let round = 0; round < 2 * rounds; round++) {
    await settled();
    process.kill(round % 2 === 0 ? rig.pid : (await rig.workers()).current, "SIGKILL");
    deaths.push(await timed(() => answeredInARow(survivor)));
  }

  const before = await rig.reloads();
  const late: number[] = [];
  const storm = await timed(() =>
    Promise.all(Array.from({ length: STORM }, async () => late.push(await timed(() => routable(rig.app(), dyno))))),
  );
  const reloadsOfStorm = (await rig.reloads()) - before;
  return {
    samples: [
      {
        who: `${APPS} apps, ${APPS * DOMAINS} domains, ${APPS * DYNOS} dynos told to an empty router`,
        unit: "ms",
        values: [filled],
      },
      { who: "a dyno comes", unit: "ms", values: comes },
      { who: "a dyno goes", unit: "ms", values: goes },
      { who: "a new app, until a request of it is answered", unit: "ms", values: news },
      { who: "100 apps told again unchanged", unit: "ms", values: [again] },
      { who: "a reload", unit: "ms", values: reloads },
      { who: "a new app while one is under way, the same", unit: "ms", values: newsMeanwhile },
      {
        who: "kill -9 of HAProxy's master or worker, until 20 requests in a row were answered",
        unit: "ms",
        values: deaths,
      },
      { who: `${STORM} new apps at once, until each has answered`, unit: "ms", values: [storm] },
      { who: "HAProxy's worker, resident", unit: "MiB", values: [kilobytes / 1024] },
    ],
    verdicts: [
      {
        claim: "a dyno comes or goes, p99",
        unit: "ms",
        value: percentile([...comes, ...goes], 0.99),
        bound: { atMost: 10 },
      },
      { claim: "reloads for that", unit: "reloads", value: reloadsOfDynos, bound: { atMost: 0 } },
      { claim: "a new app answers, longest", unit: "ms", value: percentile(news, 1), bound: { atMost: 1_000 } },
      {
        claim: "a new app answers while a reload is under way, longest",
        unit: "ms",
        value: percentile(newsMeanwhile, 1),
        bound: { atMost: 1_000 },
      },
      {
        claim: `connections that ${rounds} reloads broke, WebSockets and requests`,
        unit: "",
        value: failures.length,
        bound: { atMost: 0 },
      },
      {
        claim: "kill -9 of HAProxy, until 20 requests in a row were answered, longest",
        unit: "ms",
        value: percentile(deaths, 1),
        bound: { atMost: 1_000 },
      },
      { claim: `reloads to fill it`, unit: "reloads", value: reloadsToFill, bound: { atMost: 9 } },
      {
        claim: `reloads in a storm of ${STORM} new apps`,
        unit: "reloads",
        value: reloadsOfStorm,
        bound: { atMost: 9 },
      },
    ],
    notes: [`${asked} requests and 50 WebSockets were under way during the reloads.`, ...failures.slice(0, 3)],
  };
}

/** One visitor's address may have a thousand connections. */
const asking = new Limit(200);

async function routable(app: App, dyno: string): Promise<void> {
  await app.set({ dynoIds: [dyno] });
  const { status } = await asking.run(() => app.ask());
  if (status !== 200) throw new Error(`a new app answered ${status}`);
}

/** Whether or not the host side says that it has been told everywhere. */
async function answered(app: App): Promise<void> {
  while ((await app.ask()).status !== 200) await pause(5);
}

/** Nobody listens at first. */
async function answeredInARow(app: App): Promise<void> {
  for (let count = 0; count < 20; ) {
    const isOk = await app.ask().then(
      ({ status }) => status === 200,
      () => false,
    );
    count = isOk ? count + 1 : 0;
    if (!isOk) await pause(5);
  }
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

/** Old workers have ended, what is to be written is. */
async function settled(): Promise<void> {
  await pause(3_000);
}
