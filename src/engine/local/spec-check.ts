import { UUID } from "../../lib/uuid.ts";
import { checkEgressRule, EGRESS_RULES_MAX, type EgressRule } from "../../model/egress-rule.ts";
import { BUILD_SIZE, type DynoSize, sizeNamed } from "../../model/size.ts";
import { type DynoSpec, EngineError } from "../engine.ts";

/** Ranges of user ids that an instance's block holds. */
const UID_INDEXES = 4096;

/** The host's socket has checked the message; what names files or ends up in a kernel's hands is checked here again. */
export function checkSpec(spec: DynoSpec): DynoSize {
  checkUuid(spec.id);
  checkUuid(spec.appId);
  if (!Number.isInteger(spec.uidIndex) || spec.uidIndex < 0 || spec.uidIndex >= UID_INDEXES)
    throw new EngineError("invalid", `${spec.uidIndex} is not the index of a range of user ids.`);
  if (spec.command.includes("\0")) throw new EngineError("invalid", "The command holds a NUL character.");
  for (const [name, value] of Object.entries(spec.env)) {
    if (!/^[^=\0]+$/.test(name) || value.includes("\0"))
      throw new EngineError("invalid", `${JSON.stringify(name)} cannot be an environment variable.`);
  }
  const size = sizeNamed(spec.size);
  if (size === undefined) throw new EngineError("invalid", `${spec.size} is not a size.`);
  if ((size === BUILD_SIZE) !== (spec.kind === "build"))
    throw new EngineError("invalid", `A ${spec.kind} dyno cannot have the size ${size.name}.`);
  if (spec.isolation === "gvisor" && spec.kind === "build")
    throw new EngineError("invalid", "Build dynos are containers.");
  return size;
}

/** They become text that `nft` reads. */
export function checkEgress(rules: readonly EgressRule[]): void {
  if (rules.length > EGRESS_RULES_MAX) throw new EngineError("invalid", `More than ${EGRESS_RULES_MAX} egress rules.`);
  for (const rule of rules) {
    if (rule.action !== "allow" && rule.action !== "deny")
      throw new EngineError("invalid", "An egress rule that neither allows nor denies.");
    try {
      checkEgressRule(rule);
    } catch (error) {
      throw new EngineError("invalid", error instanceof Error ? error.message : String(error), error);
    }
  }
}

export function checkUuid(id: string): void {
  if (!UUID.test(id)) throw new EngineError("invalid", `${JSON.stringify(id)} is not an id.`);
}
