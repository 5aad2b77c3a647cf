import type { Finding } from "../engine/local/probe-judge.ts";
import { listenerOn, listenersNow, SshDoor } from "../host/ssh-door.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { EXEC_PORT } from "../model/exec-address.ts";
import { holderOf } from "./install/ports.ts";

const [ID, TITLE] = ["exec", "ps:exec of heroku"];
const INSTEAD = "stator ps:exec works all the same.";

/** Whether the official CLI's `ps:exec` can come in: tried, as the host process tries it when somebody wants to. */
export async function execFinding(address: string | null, hostPid: number | undefined): Promise<Finding> {
  const finding = (verdict: Finding["verdict"], detail: string): Finding => ({ id: ID, title: TITLE, verdict, detail });
  if (address === null) return finding("ok", `Turned off (STATOR_EXEC_ADDRESS=off); ${INSTEAD}`);
  const place = `${address}:${EXEC_PORT}`;
  const inode = listenerOn(await listenersNow(), address, EXEC_PORT);
  const holder = inode === undefined ? undefined : holderOf(inode);
  if (holder !== undefined && holder.pid === hostPid)
    return finding("ok", `Comes by SSH to ${place}, in use just now.`);
  if (process.getuid?.() !== 0)
    return finding("ok", `Comes by SSH to ${place}. Tried only when asked by root: sudo stator doctor.`);
  await using door = new SshDoor({ address, clock: systemClock, logger: silentLogger });
  const refusal = await door.refusal();
  if (refusal === null) return finding("ok", `Comes by SSH to ${place}, which is free.`);
  const who = holder === undefined ? "" : ` It is ${holder.name}, process ${holder.pid}.`;
  return finding("degraded", `${refusal}${who} The official CLI dials port ${EXEC_PORT} and no other; ${INSTEAD}`);
}
