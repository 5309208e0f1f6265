/**
 * HTML by a tagged template that escapes whatever is put in: markup comes from the program's own text only. Written as XML
 * (every element closed, attributes quoted), so that any parser reads it.
 */
import { escapeXml } from "../../drawing/xml.ts";

/** Text that is markup already. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Part = string | number | Markup | readonly Part[];

export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.map((string, i) => string + (i < parts.length ? markupOf(parts[i]!) : "")).join(""));
}

function markupOf(part: Part): string {
  if (part instanceof Markup) return part.text;
  return typeof part === "object" ? part.map(markupOf).join("") : escapeXml(String(part));
}
