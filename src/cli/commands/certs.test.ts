import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeCertificates } from "../certificate-findings.ts";
import { type DomainJson, details, type EndpointJson } from "../certs.ts";
import { format } from "./certs.ts";
import { format as formatAuto } from "./certs-auto.ts";
import { format as formatDomains } from "./domains.ts";
import { format as formatDomain } from "./domains-info.ts";

const endpoint: EndpointJson = {
  id: "e1",
  name: "cert-12345",
  domains: ["d1", "d2"],
  ssl_cert: {
    acm: false,
    "ca_signed?": false,
    cert_domains: ["www.example.com", "example.com"],
    expires_at: "2027-01-31T10:00:59Z",
    issuer: "/CN=Authority",
    starts_at: "2026-11-02T10:00:00Z",
    subject: "/CN=example.com",
  },
};
const domain: DomainJson = {
  id: "d1",
  hostname: "www.example.com",
  kind: "custom",
  cname: "hello.localhost",
  sni_endpoint: { name: "cert-12345" },
  acm_status: null,
  acm_status_reason: null,
};

test("certs: a row for each, with its end", () => {
  assert.deepEqual(format([], "hello"), [
    "hello has no SSL certificates.",
    "Use stator certs:add CRT KEY to add one, or stator certs:auto:enable.",
  ]);
  const got = {
    ...endpoint,
    name: "cert-9",
    domains: [],
    ssl_cert: { ...endpoint.ssl_cert, acm: true, "ca_signed?": true },
  };
  assert.deepEqual(format([endpoint, got], "hello"), [
    "  Name         Common Name(s)                 Expires                Trusted   Type   Domains",
    " ─────────────────────────────────────────────────────────────────────────────────────────────",
    "  cert-12345   www.example.com, example.com   2027-01-31 10:00 UTC   False     SNI    2",
    "  cert-9       www.example.com, example.com   2027-01-31 10:00 UTC   True      ACM    0",
    "",
  ]);
});

test("certs:info: the official CLI's words", () => {
  assert.deepEqual(details(endpoint, "Certificate details:", ["www.example.com"]), [
    "Certificate details:",
    "Common Name(s): www.example.com, example.com",
    "Domain(s):      www.example.com",
    "Expires At:     2027-01-31 10:00 UTC",
    "Issuer:         /CN=Authority",
    "Starts At:      2026-11-02 10:00 UTC",
    "Subject:        /CN=example.com",
    "SSL certificate is not trusted.",
  ]);
});

test("certs:auto: how each domain stands, and why", () => {
  assert.deepEqual(formatAuto(false, [], "hello"), ["=== Automatic Certificate Management is disabled on hello"]);
  const domains = [
    { ...domain, sni_endpoint: null },
    { ...domain, hostname: "a.example.com", acm_status: "cert issued" },
    { ...domain, hostname: "b.example.com", acm_status: "failing", acm_status_reason: "No address." },
    { ...domain, hostname: "c.example.com" },
  ];
  assert.deepEqual(formatAuto(true, domains, "hello"), [
    "=== Automatic Certificate Management is enabled on hello",
    "",
    "  Domain            Status            Reason",
    " ─────────────────────────────────────────────────",
    "  www.example.com   Waiting",
    "  a.example.com     Cert issued",
    "  b.example.com     Failing           No address.",
    "  c.example.com     uses cert-12345",
    "",
  ]);
});

test("domains: the app's own name, and the custom ones with their certificates", () => {
  const own: DomainJson = { ...domain, hostname: "hello.localhost", kind: "heroku", cname: null };
  assert.deepEqual(formatDomains([own, domain], "hello"), [
    "=== hello Heroku Domain",
    "",
    "hello.localhost",
    "",
    "",
    "=== hello Custom Domains",
    "",
    "  Domain Name       DNS Record Type   DNS Target        SNI Endpoint",
    " ────────────────────────────────────────────────────────────────────",
    "  www.example.com   CNAME             hello.localhost   cert-12345",
    "",
  ]);
});

test("domains:info: the API's fields", () => {
  assert.deepEqual(formatDomain(domain, "hello"), [
    "app:          hello",
    "cname:        hello.localhost",
    "hostname:     www.example.com",
    "id:           d1",
    "kind:         custom",
    "sni_endpoint: cert-12345",
  ]);
});

test("doctor warns of certificates that end within 14 days, the next one first", () => {
  const now = Date.UTC(2026, 10, 27);
  const at = (days: number) => ({ hosts: [`in${days}.example`], expiresAt: now + days * 86_400_000 });
  assert.deepEqual(judgeCertificates([at(15), at(90)], now), {
    id: "certificates",
    title: "certificates",
    verdict: "ok",
    detail: "2 that the router shows; none ends within 14 days.",
  });
  const found = judgeCertificates([at(90), at(13), at(-2)], now);
  assert.equal(found.verdict, "degraded");
  assert.match(
    found.detail,
    /^in-2\.example has expired on 2026-11-25; in13\.example ends on 2026-12-10\. See stator certs/,
  );
});
