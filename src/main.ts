import { ConfigError, loadConfig } from "./config.ts";
import { keepCompiledCode } from "./lib/compile-cache.ts";
import { guardAgainstShells } from "./lib/guard.ts";
import { compileCacheOf } from "./model/instance.ts";

/**
 * `stator daemon`, `stator host`, `stator keeper`: one of our processes, until SIGTERM or SIGINT. `compile-daemon` and so on only load
 * what it runs, which leaves it compiled.
 */
async function main(role: string | undefined): Promise<void> {
  guardAgainstShells();
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
  const config = loadConfig();
  keepCompiledCode(compileCacheOf(config.instance, role?.endsWith("daemon") === true ? "daemon" : "host"));
  switch (role) {
    case "daemon": {
      const { runDaemon } = await import("./daemon.ts");
      return runDaemon(config, stop.signal);
    }
    case "host": {
      const { runHost } = await import("./host/host.ts");
      const { STATOR_SUPERVISE: supervise, STATOR_CGROUP_PARENT: cgroupParent } = process.env;
      return runHost(config, stop.signal, {
        supervise: supervise === "1",
        ...(cgroupParent !== undefined && { cgroupParent }),
      });
    }
    case "keeper": {
      const { runKeeper } = await import("./host/keeper.ts");
      return runKeeper(config, stop.signal);
    }
    case "compile-daemon":
      return void (await import("./daemon.ts"));
    case "compile-host":
      return void (await Promise.all([import("./host/host.ts"), import("./host/certificates.ts")]));
    case "compile-keeper":
      return void (await import("./host/keeper.ts"));
    case undefined:
    default:
      throw new ConfigError("usage: main.ts [compile-]daemon | host | keeper");
  }
}

try {
  await main(process.argv[2]);
  process.exit(0); // what is left are timers of libraries
} catch (error) {
  const { jsonLogger } = await import("./lib/logger.ts");
  jsonLogger("main").error("process.failed", { role: process.argv[2], error });
  process.exit(1);
}
