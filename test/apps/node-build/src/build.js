// Uses a development dependency and a config var, and writes what `start` runs.
const { mkdirSync, writeFileSync } = require("node:fs");
const colors = require("picocolors");

mkdirSync("dist", { recursive: true });
const web = `
const { createServer } = require("node:http");
const ms = require("ms");
let dev = "kept";
try { require("picocolors"); } catch { dev = "pruned"; }
createServer((request, response) => {
  const about = { node: process.version, ms: ms("2 days"), dev, built: ${JSON.stringify(process.env.GREETING ?? null)}, env: process.env.NODE_ENV, concurrency: process.env.WEB_CONCURRENCY };
  response.end(JSON.stringify(about));
}).listen(process.env.PORT, () => console.log("listening"));
process.on("SIGTERM", () => process.exit(0));
`;
writeFileSync("dist/web.js", web);
console.log(colors.green("built"));
