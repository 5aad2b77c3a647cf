import { existsSync } from "node:fs";
import { join } from "node:path";
import { argv, stdout } from "node:process";
import { readPackage } from "./package.ts";

const tree = argv[2] ?? "";
const startable = readPackage(tree).scripts["start"] !== undefined || existsSync(join(tree, "server.js"));
stdout.write(startable ? "default_process_types:\n  web: npm start\n" : "default_process_types: {}\n");
