import type { Finding } from "../engine/local/probe-judge.ts";
import { listenBeside } from "../host/shared-port.ts";
import { listenerOn, listenersNow, SshDoor } from "../host/ssh-door.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { EXEC_PORT } from "../model/exec-address.ts";
import { type Holder, holderOf, listeners } from "./install/ports.ts";

const [ID, TITLE] = ["exec", "ps:exec of heroku"];
const INSTEAD = "stator ps:exec works all the same.";

export interface ExecFacts {
  /** Null: turned off. */
  readonly address: string | null;
  /** Of the host process, if it runs. */
  readonly hostPid: number | undefined;
  /** Of the router's user. */
  readonly routerUid: number;
}

/** Whether the official CLI's `ps:exec` can come in: tried, as the host process tries it when somebody wants to. */
export async function execFinding({ address, hostPid, routerUid }: ExecFacts): Promise<Finding> {
  const finding = (verdict: Finding["verdict"], detail: string): Finding => ({ id: ID, title: TITLE, verdict, detail });
  if (address === null) return finding("ok", `Turned off (STATOR_EXEC_ADDRESS=off); ${INSTEAD}`);
  const place = `${address}:${EXEC_PORT}`;
  const inode = listenerOn(await listenersNow(), address, EXEC_PORT);
  const holder = inode === undefined ? undefined : holderOf(inode);
  if (holder !== undefined && holder.pid === hostPid)
    return finding("ok", `Comes by SSH to ${place}, in use just now.`);
  if (process.getuid?.() !== 0)
    return finding("ok", `Comes by SSH to ${place}. Tried only when asked by root: sudo stator doctor.`);
  await using door = new SshDoor({
    address,
    listen: listenBeside(routerUid),
    clock: systemClock,
    logger: silentLogger,
  });
  const refusal = await door.refusal();
  if (refusal === null) return finding("ok", `Comes by SSH to ${place}, which is free.`);
  const other = holder ?? holderOfAll();
  const who = other === undefined ? "" : ` It is ${other.name}, process ${other.pid}.`;
  return finding("degraded", `${refusal}${who} The official CLI dials port ${EXEC_PORT} and no other; ${INSTEAD}`);
}

/** Who has the port of every address. Not our router: it lets others share it. */
function holderOfAll(): Holder | undefined {
  const listener = listeners().find(({ port, address }) => port === EXEC_PORT && address === "any");
  return listener === undefined ? undefined : holderOf(listener.inode);
}
