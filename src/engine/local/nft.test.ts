import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRefusals, type Rules, renderTable } from "./nft.ts";

const rules: Rules = {
  table: "stator_abcdef",
  interfacePrefix: "stabcdef-",
  range: { octet: 9 },
  prefix6: "fd53:00ab:cd09:1",
  routerPorts: [80, 443],
  routerUid: 998,
  proberUid: 0,
  resolver: "192.168.1.1",
  buildAllow: [],
  connectionsMax: 100,
  routerConnectionsMax: 10,
  newConnectionsPerSecond: 50,
};

test("the table replaces the old one in one transaction", () => {
  assert.match(
    renderTable(rules),
    /^\s*table inet stator_abcdef\ndelete table inet stator_abcdef\ntable inet stator_abcdef \{/,
  );
});

test("without a resolver no port 53 leads anywhere", () => {
  assert.match(renderTable(rules), /dnat ip to 192\.168\.1\.1/);
  assert.doesNotMatch(renderTable({ ...rules, resolver: undefined }), /dnat ip/);
});

test("what asks for names is limited, at the gateway and at the resolver itself", () => {
  const text = renderTable(rules);
  assert.match(
    text,
    /ip daddr \{ 10\.9\.0\.1, 192\.168\.1\.1 \} udp dport 53 update @names \{ ip saddr limit rate over \d+\/second/,
  );
  assert.match(text, /tcp dport 53 update @names_tcp \{ ip saddr limit rate over \d+ kbytes\/second/);
  assert.match(renderTable({ ...rules, resolver: undefined }), /ip daddr 10\.9\.0\.1 udp dport 53 update @names/);
});

test("addresses for build dynos are elements of a set", () => {
  const text = renderTable({ ...rules, buildAllow: [{ address: "10.1.1.1", port: 3128 }] });
  assert.match(text, /set build_allow .*elements = \{ 10\.1\.1\.1 \. 3128 \};/);
});

test("refusals are read out of nft's JSON; what is not a dyno's is passed over", () => {
  const element = (...concat: readonly unknown[]) => ({ elem: { val: { concat }, timeout: 60, expires: 59 } });
  const json = JSON.stringify({
    nftables: [
      { metainfo: { version: "1.0.6" } },
      {
        set: {
          name: "refused",
          elem: [
            element("10.9.0.5", "tcp", "192.168.7.7", 5432),
            element("10.9.0.6", "udp", "10.0.0.1", 53),
            element("10.9.0.6", "icmp", "10.0.0.1", 0),
            element("10.8.0.6", "tcp", "10.0.0.1", 1),
            element("fd53:ab:cd09:1::1f", "tcp", "fd00::7", 5432),
            element("fd53:ab:cd09:2::1f", "tcp", "fd00::7", 5432),
            element("fd53:ab:cd09:1::1f", "icmpv6", "fe80::1", 0),
            "odd",
          ],
        },
      },
    ],
  });
  assert.deepEqual(parseRefusals(json, rules), [
    { index: 5, destination: "192.168.7.7:5432", protocol: "tcp" },
    { index: 6, destination: "10.0.0.1:53", protocol: "udp" },
    { index: 6, destination: "10.0.0.1", protocol: "other" },
    { index: 31, destination: "[fd00::7]:5432", protocol: "tcp" },
    { index: 31, destination: "fe80::1", protocol: "other" },
  ]);
  assert.deepEqual(parseRefusals('{"nftables":[{"set":{"name":"refused"}}]}', rules), []);
});

test("without IPv6 addresses nothing of it passes", () => {
  assert.match(renderTable({ ...rules, prefix6: undefined }), /meta nfproto ipv6 drop/);
  assert.doesNotMatch(renderTable({ ...rules, prefix6: undefined }), /ip6 saddr \S+ oifname .* masquerade/);
  assert.match(renderTable(rules), /ip6 saddr != fd53:00ab:cd09:1::\/64 drop/);
});
