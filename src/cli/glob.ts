/** Patterns over dotted names such as `0.mlp.post_act`: `*` stands for any text, dots included. */
import { inputError } from "../util/errors.ts";
import { nearest } from "../util/nearest.ts";

/** The names that a pattern matches whole, in their order. */
export function matching(pattern: string, names: readonly string[]): string[] {
  const parts = pattern.split(/\*+/).map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const expression = new RegExp(`^${parts.join(".*")}$`);
  return names.filter((name) => expression.test(name));
}

/** @throws inputError when nothing matches. */
export function select(pattern: string, names: readonly string[], flag: string): string[] {
  const found = matching(pattern, names);
  if (found.length > 0) return found;
  throw inputError(
    "no-match",
    `${flag}: nothing is called "${pattern}"`,
    `Did you mean "${nearest(pattern, names)}"? There are ${names.join(", ")}.`,
  );
}
