/** docs/VERIFICATION.md says what the checks do, in their own words. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { CHECKS } from "../../src/circuits/verification.ts";
import { ALL_CHECKS } from "../../src/verify/verify.ts";

const flat = (text: string): string => text.replaceAll(/\s+/g, " ");
const doc = flat(readFileSync(new URL("../../docs/VERIFICATION.md", import.meta.url), "utf8"));

it.each(CHECKS)("defines %s as the report does", (name) => {
  const { definition, question, source, threshold } = ALL_CHECKS[name];
  expect(ALL_CHECKS[name].name).toBe(name);
  for (const text of [question, definition, threshold, source]) expect(doc).toContain(flat(text));
});
