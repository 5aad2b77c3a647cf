/** One of everything that an app can have, and what belongs to its owner beside it: calls that make it, each by where it is listed. */
export function thingsOf(of: {
  readonly app: { readonly id: string; readonly name: string };
  /** Coupled as production of the same pipeline. */
  readonly other: { readonly id: string };
  /** Of an app in no pipeline: it is offered to the member. */
  readonly loose: string;
  readonly pipeline: string;
  readonly member: string;
  readonly hostname: string;
  readonly pair: { readonly certificate: string; readonly key: string };
}): readonly (readonly [path: string, body: object])[] {
  const { app, other, loose, pipeline, member, hostname, pair } = of;
  const own = `/apps/${app.name}`;
  const exporter = { type: "otlphttp", endpoint: "https://otel.example.com", headers: {} };
  return [
    ["/pipeline-couplings", { app: app.id, pipeline, stage: "staging" }],
    ["/pipeline-couplings", { app: other.id, pipeline, stage: "production" }],
    ["/oauth/clients", { name: "client", redirect_uri: "https://example.com/" }],
    ["/telemetry-drains", { owner: { id: app.id, type: "app" }, signals: ["logs"], exporter }],
    [`${own}/collaborators`, { user: member }],
    ["/account/app-transfers", { app: loose, recipient: member }],
    [`${own}/domains`, { hostname }],
    [`${own}/log-drains`, { url: "https://drain.example.com/" }],
    [`${own}/webhooks`, { include: ["api:release"], level: "notify", url: "https://hook.example.com/" }],
    [`${own}/schedules`, { command: "x", schedule: "0 3 * * *", name: "nightly" }],
    [`${own}/egress-rules`, { action: "deny", cidr: "10.0.0.0/8" }],
    [`${own}/sni-endpoints`, { certificate_chain: pair.certificate, private_key: pair.key }],
    [`${own}/builds`, { source_blob: { url: "https://example.com/a.tgz" } }],
    [`${own}/dynos`, { command: "web" }],
    [`${own}/routing/users`, { name: "guest" }],
  ];
}
