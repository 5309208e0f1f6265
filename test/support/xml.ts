/** A strict reader of XML without namespaces, comments and sections: what the tool writes needs no more. */

export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  /** Text in it and in the elements in it. */
  text: string;
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** In document order. Throws unless tags nest, attributes are quoted and named once, and every & and < is markup. */
export function parseXml(source: string): XmlElement[] {
  const elements: XmlElement[] = [];
  const open: XmlElement[] = [];
  const token = /<(\/?)([a-zA-Z][\w:]*)((?:\s+[\w:.-]+="[^"<]*")*)\s*(\/?)>|<\?xml[^>]*\?>|<!DOCTYPE html>|([^<]+)/gy;
  let at = 0;
  for (let m = token.exec(source); m !== null; m = token.exec(source)) {
    at = token.lastIndex;
    const [, close, name, attributes = "", empty, content = ""] = m;
    const text = decode(content);
    for (const element of open) element.text += text;
    if (name === undefined) continue;
    if (close) {
      if (open.pop()?.name !== name) throw new Error(`</${name}> closes nothing`);
      continue;
    }
    const pairs = [...attributes.matchAll(/([\w:.-]+)="([^"]*)"/g)].map(
      ([, key, value]) => [key!, decode(value!)] as const,
    );
    const element = { name, attributes: new Map(pairs), text: "" };
    if (element.attributes.size < pairs.length) throw new Error(`<${name}> has an attribute twice: ${attributes}`);
    elements.push(element);
    if (!empty) open.push(element);
  }
  if (at !== source.length || open.length > 0) throw new Error(`broken at ${source.slice(at, at + 80)}`);
  return elements;
}

function decode(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML forbids them
  const bad = /&(?!amp;|lt;|gt;|quot;|apos;|#\d+;)|[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/u.exec(text);
  if (bad) throw new Error(`bad character ${JSON.stringify(bad[0])} in ${text}`);
  return text.replace(/&#?(\w+);/g, (all, name: string) =>
    all[1] === "#" ? String.fromCodePoint(Number(name)) : ENTITIES[name]!,
  );
}
