import { instanceOf } from "../../../src/model/instance.ts";
import { allOfOurs, leftoversOf } from "../../leftovers.ts";

/** Runs inside the machine of `npm run test:vm`, after an uninstall: prints what is left, a line each. */
const home = process.argv[2] ?? "/var/lib/stator";
const left = new Set([...(await leftoversOf(instanceOf(home))), ...(await allOfOurs())]);
for (const each of left) process.stdout.write(`left: ${each}\n`);
process.stdout.write(`${left.size} left\n`);
