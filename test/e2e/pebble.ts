import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { makeAuthority, makeServerCertificate } from "../../src/host/certificates.ts";
import { type ChildProcess, start } from "../../src/lib/command.ts";
import { ensurePackages } from "../packages.ts";
import { freePort } from "../support/free-port.ts";

/**
 * Pebble, the ACME authority that Let's Encrypt tests clients with: it looks at names over HTTP for real, on the port of
 * our router, and rejects a part of all nonces. Beside it a name server of the same package that knows every name.
 */
export class Pebble implements AsyncDisposable {
  readonly #folder = mkdtempSync("/var/tmp/stator-pebble-");
  readonly #children: ChildProcess[] = [];
  directory = "";
  caFile = "";
  #dnsManagement = 0;

  static async start(httpPort: number): Promise<Pebble> {
    await ensurePackages(["pebble"]);
    const pebble = new Pebble();
    await pebble.#start(httpPort);
    return pebble;
  }

  async #start(httpPort: number): Promise<void> {
    const [port, management, tlsPort, dns] = [await freePort(), await freePort(), await freePort(), await freePort()];
    this.#dnsManagement = await freePort();
    const authority = await makeAuthority("Pebble's own TLS", Date.now());
    const pair = await makeServerCertificate(authority, ["localhost", "127.0.0.1"], Date.now());
    const file = (name: string, text: string): string => {
      writeFileSync(join(this.#folder, name), text);
      return join(this.#folder, name);
    };
    this.caFile = file("ca.pem", authority.certificate);
    const config = {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: file("pebble.pem", pair.certificate),
      privateKey: file("pebble.key", pair.key),
      httpPort,
      tlsPort,
      ocspResponderURL: "",
      externalAccountBindingRequired: false,
    };
    this.directory = `https://127.0.0.1:${port}/dir`;
    const dnsArgs = ["-dns01", `127.0.0.1:${dns}`, "-management", `127.0.0.1:${this.#dnsManagement}`];
    const none = ["-http01", "", "-https01", "", "-tlsalpn01", ""];
    this.#run("pebble-challtestsrv", [...dnsArgs, ...none, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""], {});
    const args = ["-config", file("config.json", JSON.stringify({ pebble: config })), "-dnsserver", `127.0.0.1:${dns}`];
    this.#run("pebble", args, { PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "20", PEBBLE_AUTHZREUSE: "0" });
    const until = performance.now() + 10_000;
    while (!(await answers(this.directory, authority.certificate))) {
      assert.ok(performance.now() < until, "Pebble does not answer");
      await pause(20);
    }
  }

  /** The name leads there, and no longer to the router. */
  async setAddress(host: string, address: string): Promise<void> {
    const body = JSON.stringify({ host: `${host}.`, addresses: [address] });
    const answer = await fetch(`http://127.0.0.1:${this.#dnsManagement}/add-a`, { method: "POST", body });
    assert.equal(answer.status, 200);
  }

  #run(program: string, args: readonly string[], env: Record<string, string>): void {
    this.#children.push(start(program, args, { env, cwd: this.#folder, stdio: ["ignore", "ignore", "ignore"] }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode === null && child.kill("SIGKILL")) await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function answers(url: string, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    const sent = request(url, { ca, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    sent.on("error", () => resolve(false)); // not there yet
    sent.end();
  });
}
