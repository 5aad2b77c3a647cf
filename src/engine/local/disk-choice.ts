import { DISK_MECHANISMS, type DiskMechanism, type DiskSetting, type DiskStanding } from "../../model/disk.ts";

/** What was found out about disks on this host. */
export interface DiskSituation {
  readonly setting: DiskSetting;
  /** What the volumes that are there lie on; null: there are none yet. */
  readonly standing: DiskStanding | null;
  /** Why a mechanism that was tried does not work here, "" if it does. */
  readonly trials: Readonly<Partial<Record<DiskMechanism, string>>>;
  /** Running dynos write where they began; nothing can be moved below them. */
  readonly dynosLive: boolean;
}

export type DiskChoice =
  /** `refused`: why the operator's setting is not followed; "" if it is. */
  | { readonly kind: "use"; readonly mechanism: DiskStanding; readonly refused: string }
  /** What apps keep is taken over to another mechanism first. */
  | { readonly kind: "move"; readonly from: DiskStanding; readonly to: DiskMechanism };

/** Which mechanisms have to be tried before it can be chosen: those that may come into use anew. Pure. */
export function toTry({ setting, standing }: Pick<DiskSituation, "setting" | "standing">): readonly DiskMechanism[] {
  if (setting !== "auto") return setting === standing ? [] : [setting];
  return standing === null || standing === "none" ? DISK_MECHANISMS : [];
}

/**
 * What holds the disks from now on. What stands stays, unless the operator asks for another one or nothing held them so far. Pure.
 * Throws a sentence if the operator asks for what this host cannot do and nothing stands.
 */
export function chooseDisk(situation: DiskSituation): DiskChoice {
  const { standing } = situation;
  const wanted = wantedOf(situation);
  if (wanted === standing) return use(wanted);
  const why = refusalOf(situation, wanted);
  if (why === "")
    return standing === null || wanted === "none" ? use(wanted) : { kind: "move", from: standing, to: wanted };
  if (standing === null) throw new Error(why);
  return { kind: "use", mechanism: standing, refused: why };
}

function wantedOf({ setting, standing, trials }: DiskSituation): DiskStanding {
  if (setting !== "auto") return setting;
  if (standing !== null && standing !== "none") return standing;
  return DISK_MECHANISMS.find((each) => trials[each] === "") ?? "none";
}

function refusalOf({ setting, standing, trials, dynosLive }: DiskSituation, wanted: DiskStanding): string {
  const why = wanted === "none" ? "" : (trials[wanted] ?? "it was not tried");
  if (why !== "") return `STATOR_DISK=${wanted} cannot be used on this machine: ${why}`;
  return standing !== null && dynosLive
    ? `Dynos run whose disks lie on ${standing}, so ${setting === "auto" ? wanted : `STATOR_DISK=${wanted}`} cannot be used yet: stop them (stator down), then call stator up again`
    : "";
}

const use = (mechanism: DiskStanding): DiskChoice => ({ kind: "use", mechanism, refused: "" });
