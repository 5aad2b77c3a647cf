import { createPublicKey, webcrypto } from "node:crypto";
import type { AcmeOrder, Authority } from "../../src/certificates/acme-authority.ts";
import { AcmeProblem } from "../../src/certificates/acme-http.ts";
import { type KeyPair, makeAuthority } from "../../src/host/certificates.ts";
import type { FakeTarget } from "../../src/host/testing.ts";
import type { Clock } from "../../src/lib/clock.ts";

interface Order {
  readonly hostname: string;
  status: AcmeOrder["status"];
  isAsked: boolean;
  key: string | undefined;
}

/** For tests: an ACME authority in memory, which looks for the answer in a `FakeTarget`. The real one is in `test/e2e`. */
export class TestAuthority implements Authority {
  readonly orders: Order[] = [];
  /** What the next call fails with; undefined: nothing. */
  problem: AcmeProblem | undefined;
  lifeMs = 90 * 86_400_000;
  readonly #target: FakeTarget;
  readonly #clock: Clock;
  readonly #keys: Promise<KeyPair>;

  constructor(target: FakeTarget, clock: Clock) {
    this.#target = target;
    this.#clock = clock;
    this.#keys = makeAuthority("Test ACME", clock.now());
  }

  async order(hostname: string): Promise<AcmeOrder> {
    this.#mayFail();
    this.orders.push({ hostname, status: "pending", isAsked: false, key: undefined });
    return this.#shown(this.orders.length - 1);
  }
  async orderAt(url: string): Promise<AcmeOrder> {
    this.#mayFail();
    const order = this.#at(url);
    if (order.status === "processing") order.status = "valid";
    return { url, status: order.status };
  }
  async proofFor({ url }: AcmeOrder) {
    const order = this.#at(url);
    const token = `token-${url.split("/").at(-1)}`;
    const accept = async (): Promise<void> => {
      this.#mayFail();
      order.isAsked = true;
      const isThere = this.#target.challenges.get(order.hostname)?.keyAuthorization === `${token}.print`;
      order.status = isThere && !order.hostname.startsWith("lost.") ? "ready" : "invalid";
    };
    return { token, keyAuthorization: `${token}.print`, isNew: !order.isAsked, accept };
  }
  async problemOf(): Promise<AcmeProblem> {
    return new AcmeProblem("connection", "connection refused");
  }
  async finalize({ url }: AcmeOrder, _hostname: string, key: string): Promise<void> {
    this.#mayFail();
    Object.assign(this.#at(url), { status: "processing", key });
  }
  async certificate({ url }: AcmeOrder): Promise<string> {
    this.#mayFail();
    const { hostname, key } = this.#at(url);
    const x509 = await import("@peculiar/x509");
    const authority = await this.#keys;
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const der = createPublicKey(key ?? "").export({ type: "spki", format: "der" });
    const signing = Buffer.from(authority.key.replaceAll(/-----[A-Z ]+-----|\n/g, ""), "base64");
    const now = this.#clock.now();
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: `01${String(this.orders.length).padStart(30, "0")}`,
      subject: [{ CN: [hostname] }],
      issuer: new x509.X509Certificate(authority.certificate).subject,
      notBefore: new Date(now),
      notAfter: new Date(now + this.lifeMs),
      publicKey: await webcrypto.subtle.importKey("spki", der, algorithm, true, ["verify"]),
      signingKey: await webcrypto.subtle.importKey("pkcs8", signing, algorithm, false, ["sign"]),
      signingAlgorithm: algorithm,
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: hostname }])],
    });
    return `${certificate.toString("pem")}\n${authority.certificate}\n`;
  }

  #at(url: string): Order {
    const order = this.orders[Number(url.split("/").at(-1))];
    if (order === undefined) throw new AcmeProblem("malformed", "no such order", { status: 404 });
    return order;
  }

  #shown(index: number): AcmeOrder {
    return { url: `https://acme.test/order/${index}`, status: this.orders[index]?.status ?? "invalid" };
  }

  #mayFail(): void {
    const { problem } = this;
    this.problem = undefined;
    if (problem !== undefined) throw problem;
  }
}
