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
  updated_at: "2026-11-27T10:00:00Z",
};
const now = new Date("2026-11-27T12:00:00Z");

test("certs: a row for each, with its end", () => {
  assert.deepEqual(format([], "hello"), ["hello has no SSL certificates.", "Use stator certs:add CRT KEY to add one."]);
  const got = {
    ...endpoint,
    name: "cert-0",
    domains: [],
    ssl_cert: { ...endpoint.ssl_cert, acm: true, "ca_signed?": true },
  };
  assert.deepEqual(format([endpoint, got], "hello"), [
    "  Name         Common Name(s)                 Expires                Trusted   Type   Domains",
    " ─────────────────────────────────────────────────────────────────────────────────────────────",
    "  cert-0       www.example.com, example.com   2027-01-31 10:00 UTC   True      ACM",
    "  cert-12345   www.example.com, example.com   2027-01-31 10:00 UTC   False     SNI    2",
    "",
  ]);
  assert.match(format([got], "hello")[0] ?? "", /Type$/, "no domains of the platform's own ones");
});

const DETAILS = [
  "Certificate details:",
  "Common Name(s): www.example.com",
  "                example.com",
  "Expires At:     2027-01-31 10:00 UTC",
  "Issuer:         /CN=Authority",
  "Starts At:      2026-11-02 10:00 UTC",
  "Subject:        /CN=example.com",
];

test("certs:info: the official CLI's words", () => {
  assert.deepEqual(details(endpoint, now, undefined, ["www.example.com", "b.example.com"]), [
    ...DETAILS,
    "Domain(s):      www.example.com",
    "                b.example.com",
    "SSL certificate is not trusted.",
  ]);
  const got = { ...endpoint, ssl_cert: { ...endpoint.ssl_cert, acm: true, expires_at: "2027-01-31T10:00:59Z" } };
  const renewal = ["Renewal scheduled for 2026-12-31 10:00 UTC.", ""];
  assert.deepEqual(details(got, now), [...renewal, ...DETAILS, "SSL certificate is not trusted."]);
  assert.deepEqual(details(got, new Date("2027-01-01T00:00:00Z"))[0], DETAILS[0], "no word of a time that is over");
});

test("certs:auto: how each domain stands, and why", () => {
  const domains = [
    { ...domain, sni_endpoint: null },
    { ...domain, hostname: "a.example.com", acm_status: "cert issued" },
    { ...domain, hostname: "b.example.com", acm_status: "failing", acm_status_reason: "No address." },
    { ...domain, hostname: "c.example.com" },
  ];
  assert.deepEqual(formatAuto(domains, [endpoint], now), [
    "  Domain            Status            Reason        Last Updated",
    " ─────────────────────────────────────────────────────────────────",
    "  www.example.com   Waiting                         about 2 hours",
    "  a.example.com     Cert issued                     about 2 hours",
    "  b.example.com     Failing           No address.   about 2 hours",
    "  c.example.com     uses cert-12345                 about 2 hours",
    "",
    "",
    "=== Some domains are failing validation, please verify that your DNS matches: stator domains",
    "",
  ]);
});

test("certs:auto: one certificate of the platform's own in full, and what to do next", () => {
  const got = { ...endpoint, ssl_cert: { ...endpoint.ssl_cert, acm: true } };
  assert.deepEqual(formatAuto([], [got], now), [
    ...details(got, now),
    "",
    "=== Add a custom domain to your app by running: stator domains:add <yourdomain.com>",
    "",
  ]);
  assert.deepEqual(formatAuto([{ ...domain, acm_status: "dns-verified" }], [got, got], now), [
    "  Domain            Status         Last Updated",
    " ────────────────────────────────────────────────",
    "  www.example.com   DNS Verified   about 2 hours",
    "",
  ]);
  const failed = formatAuto([{ ...domain, acm_status: "failed" }], [], now);
  assert.match(failed.join("\n"), /Failed[\s\S]*\n\n\n=== Some domains failed .*: stator certs:auto:refresh\n$/);
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

test("domains:info: the API's fields, in its order", () => {
  assert.deepEqual(formatDomain(domain, "hello"), [
    "id:           d1",
    "hostname:     www.example.com",
    "kind:         custom",
    "cname:        hello.localhost",
    "sni_endpoint: name: 'cert-12345'",
    "updated_at:   2026-11-27T10:00:00Z",
    "app:          hello",
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
