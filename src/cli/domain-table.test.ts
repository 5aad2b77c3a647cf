import assert from "node:assert/strict";
import { test } from "node:test";
import type { DomainJson } from "./certs.ts";
import { Input } from "./command.ts";
import { csvOf, domainRows } from "./domain-table.ts";

const domain = (hostname: string, more: Partial<DomainJson> = {}): DomainJson => ({
  id: hostname,
  hostname,
  kind: "custom",
  cname: "hello.example.net",
  sni_endpoint: null,
  acm_status: null,
  acm_status_reason: null,
  updated_at: "2026-01-02T03:04:05Z",
  ...more,
});
const domains = [domain("www.example.com", { sni_endpoint: { name: "cert-1" } }), domain("example.com")];
const rows = (flags: Readonly<Record<string, string | true>>) =>
  domainRows(domains, new Input([], new Map(Object.entries(flags))));

test("domains: columns, filter and sort by titles or keys", () => {
  assert.deepEqual(rows({ columns: "Domain Name,kind" }), [
    ["Domain Name", "DNS Record Type"],
    ["www.example.com", "CNAME"],
    ["example.com", "ALIAS or ANAME"],
  ]);
  assert.deepEqual(rows({ columns: "hostname", filter: "SNI Endpoint=cert" }), [["Domain Name"], ["www.example.com"]]);
  assert.deepEqual(rows({ columns: "hostname", sort: "Domain Name" }), [
    ["Domain Name"],
    ["example.com"],
    ["www.example.com"],
  ]);
  assert.equal(rows({ extended: true })[0]?.includes("ACM Status"), true);
  for (const bad of [{ columns: "Colour" }, { filter: "x" }, { filter: "Domain Name=" }, { sort: "constructor" }])
    assert.throws(() => rows(bad), { name: "UsageError" });
});

test("domains --csv: cells with commas, quotes and line breaks are quoted", () => {
  assert.deepEqual(csvOf([["a", 'b"c', "d,e", "f\ng"]]), ['a,"b""c","d,e","f\ng"']);
});
