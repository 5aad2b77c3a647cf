import assert from "node:assert/strict";
import { test } from "node:test";
import { RECIPES, recipeHash } from "./stack-recipe.ts";

test("another package is another recipe", () => {
  const recipe = RECIPES["debian-12"];
  assert.equal(recipeHash(recipe), recipeHash({ ...recipe, packages: [...recipe.packages] }));
  assert.notEqual(recipeHash(recipe), recipeHash({ ...recipe, packages: [...recipe.packages, "jq"] }));
  assert.notEqual(recipeHash(recipe), recipeHash(RECIPES["debian-12-build"]));
});

test("the run stack has neither compiler nor git", () => {
  for (const name of ["build-essential", "git", "gcc"]) assert.ok(!RECIPES["debian-12"].packages.includes(name));
});
