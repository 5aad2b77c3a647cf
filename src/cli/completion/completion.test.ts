import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { COMMANDS } from "../commands.ts";
import { completionOf } from "./candidates.ts";
import { SCRIPTS } from "./scripts.ts";
import { behindBreaks, wordsOf } from "./words.ts";

/** What a shell's Tab comes to; `test/e2e/completion.test.ts` has the shells themselves. */
const texts = (...words: readonly string[]) => completionOf(words, COMMANDS).candidates.map(({ text }) => text);
const kinds = (...words: readonly string[]) =>
  completionOf(words, COMMANDS).wanted.map(({ kind, after }) => `${kind}${after}`);

test("commands by their names, and by other words for them once something is typed", () => {
  assert.deepEqual(texts("ps:sc"), ["ps:scale"]);
  assert.deepEqual(texts("whoa"), ["whoami"]);
  assert.equal(texts("").includes("git:credentials"), false);
  assert.equal(texts("").includes("whoami"), false);
  assert.deepEqual(texts("help", "ps:sc"), ["ps:scale"]);
  assert.deepEqual(texts("no-such-command", ""), []);
});

test("flags, and what their values can be", () => {
  assert.deepEqual(texts("logs", "--so"), ["--source"]);
  assert.equal(texts("apps", "--").includes("--team"), false, "what is refused is not offered");
  assert.deepEqual(texts("logs", "-s", ""), ["app", "heroku"]);
  assert.deepEqual(kinds("ps", "-a", "he"), ["app"]);
  assert.deepEqual([kinds("logs", "--dyno-name=w"), kinds("logs", "-p", "")], [["dyno"], ["type"]]);
  const equals = completionOf(["info", "--app=he"], COMMANDS);
  assert.deepEqual([equals.before, equals.typed], ["--app=", "he"]);
  assert.equal(completionOf(["config:get", "--app=hello", "-r", "x", ""], COMMANDS).values.get("app"), "hello");
});

test("arguments, by what the help says of them", () => {
  assert.deepEqual(kinds("ps:stop", ""), ["dyno", "type"]);
  assert.deepEqual(kinds("ps:scale", ""), ["type="]);
  assert.deepEqual([kinds("config:get", ""), kinds("config:set", "")], [["config"], ["config="]]);
  assert.deepEqual(kinds("apps:info", ""), ["app"]);
  assert.deepEqual(texts("completion", ""), ["bash", "zsh", "fish"]);
  assert.deepEqual(texts("isolation", ""), ["container", "gvisor"]);
  assert.ok(texts("routing:set", "").includes("balance="));
  assert.deepEqual([kinds("run", "-a", "hello", "--", ""), kinds("run", "")], [[], []], "the dyno's own words");
  assert.deepEqual(kinds("domains:info", ""), ["domain"]);
});

test("words of an unfinished line are a shell's, and nothing in them is expanded", () => {
  assert.deepEqual(wordsOf("stator ps -a "), ["stator", "ps", "-a", ""]);
  assert.deepEqual(wordsOf(`stator "a b" c\\ d 'e`), ["stator", "a b", "c d", "e"]);
  assert.deepEqual(wordsOf("stator $(touch x) `id`"), ["stator", "$(touch", "x)", "`id`"]);
  fc.assert(fc.property(fc.string(), (line) => wordsOf(line).length > 0));
});

test("bash completes behind its last word break", () => {
  assert.equal(behindBreaks("ps:scale", "ps:sc", " :="), "scale");
  assert.equal(behindBreaks("ps:scale", "ps:sc", " ="), "ps:scale");
  assert.equal(behindBreaks("--app=hello", "--app=he", " :="), "hello");
});

test("no script evaluates what was typed or what comes back", () => {
  for (const [shell, script] of Object.entries(SCRIPTS)) {
    const code = script.replaceAll(/^#.*$/gm, "");
    assert.doesNotMatch(code, /\beval\b|\$\{\(e/, shell);
  }
});
