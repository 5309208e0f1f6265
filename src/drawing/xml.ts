/** Escaping for XML text and attributes. */
import { oneLine } from "../util/text.ts";

const ENTITY: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };

/** Safe in element text and in attributes of either quote. Characters that XML forbids become visible escapes. */
export function escapeXml(text: string): string {
  return oneLine(text).replace(/[&<>"']/g, (c) => ENTITY[c]!);
}

/** As `escapeXml`, with line breaks kept (for element text only). */
export function escapeLines(text: string): string {
  return text.split("\n").map(escapeXml).join("\n");
}
