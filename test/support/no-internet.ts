import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import { type KeyPair, makeAuthority, makeServerCertificate } from "../../src/host/certificates.ts";

/** What was asked of a host of the internet, with the credentials that were sent along. */
export interface Asked {
  readonly host: string;
  readonly path: string;
  readonly authorization: string | undefined;
}

/**
 * The internet for a program that heeds `HTTPS_PROXY`: every host of it is here, notes what it is asked, and answers 401. So a test shows
 * what a client of others would have sent away, and nothing leaves the machine.
 */
export class NoInternet implements Disposable {
  readonly asked: Asked[] = [];
  /** Every host that was dialled, whether it was asked anything or not. */
  readonly dialled: string[] = [];
  /** PEM of who signs for all its hosts. */
  readonly authority: string;
  readonly #signer: KeyPair;
  readonly #server = createServer();
  readonly #sockets = new Set<Socket>();

  static async open(): Promise<NoInternet> {
    const internet = new NoInternet(await makeAuthority("No internet", Date.now()));
    internet.#server.listen(0, "127.0.0.1");
    await once(internet.#server, "listening");
    return internet;
  }

  private constructor(signer: KeyPair) {
    this.#signer = signer;
    this.authority = signer.certificate;
    this.#server.on("connect", (request, socket: Socket) => void this.#connected(request.url ?? "", socket));
    this.#server.on("request", (request, response) => this.#answer(request, response));
  }

  get proxy(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`; // it listens on a port
  }

  async #connected(target: string, socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on("error", () => {}); // the client has gone
    const [host = ""] = target.split(":");
    this.dialled.push(host);
    const { certificate, key } = await makeServerCertificate(this.#signer, [host], Date.now());
    socket.write("HTTP/1.1 200 Connected\r\n\r\n");
    const secureContext = createSecureContext({ cert: certificate, key });
    const inside = new TLSSocket(socket, { isServer: true, secureContext });
    inside.on("error", () => {}); // as above
    this.#server.emit("connection", inside);
  }

  #answer({ headers, url = "" }: IncomingMessage, response: ServerResponse): void {
    this.asked.push({ host: headers.host ?? "", path: url, authorization: headers.authorization });
    const body = JSON.stringify({ id: "unauthorized", message: "Nobody knows you here." });
    response.writeHead(401, { "Content-Type": "application/json", Connection: "close" }).end(body);
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
