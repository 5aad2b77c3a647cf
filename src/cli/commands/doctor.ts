import { loadConfig } from "../../config.ts";
import { probeHost } from "../../engine/local/probe.ts";
import { userNamed } from "../../lib/system-user.ts";
import { certificateFindings } from "../certificate-findings.ts";
import type { Input } from "../command.ts";
import { execFinding } from "../exec-finding.ts";
import { processesOf } from "../install/processes.ts";
import { json, print, table } from "../output.ts";
import { stackFindings } from "../stack-finding.ts";

const MARKS = { ok: "ok", degraded: "less", missing: "MISSING" } as const;

/** 1 when something is missing without which dynos cannot run. */
export async function run(input: Input): Promise<number> {
  const { instance, disk, execAddress } = loadConfig();
  const host = processesOf(instance).find(({ role }) => role === "host")?.pid;
  const router = await userNamed(instance.users.router).catch(() => ({ uid: 0 })); // not installed: any user will do
  const findings = [
    ...(await probeHost(instance, disk, host)),
    ...(await certificateFindings(instance, Date.now())),
    ...(await stackFindings(instance, Date.now())),
    await execFinding({ address: execAddress, hostPid: host, routerUid: router.uid }),
  ];
  if (input.has("json")) json(findings);
  else for (const line of table(findings.map((each) => [MARKS[each.verdict], each.title, each.detail]))) print(line);
  return findings.some((each) => each.verdict === "missing") ? 1 : 0;
}
