/** A folder of attribution graphs as their viewers serve it: a file each, and `graph-metadata.json`, which lists them. */
import * as path from "node:path";
import { z } from "zod";
import { ensureWritableDir, pathExists, readText, writeFileAtomic } from "../util/files.ts";
import { formatJson } from "../util/json.ts";

const METADATA = "graph-metadata.json";
const graphSchema = z.looseObject({ metadata: z.looseObject({ slug: z.string() }) });
const listSchema = z.looseObject({ graphs: z.array(z.looseObject({ slug: z.string() })) });

/** Writes a graph into `attribution/` and lists it; graphs that are gone are listed no longer. Returns the files. */
export function writeAttribution(folder: string, content: string): string[] {
  const { metadata } = graphSchema.parse(JSON.parse(content));
  const fileOf = (slug: string): string => path.join(folder, "attribution", `${slug}.json`);
  const list = path.join(folder, "attribution", METADATA);
  const others = listed(list).filter(({ slug }) => slug !== metadata.slug && pathExists(fileOf(slug)));
  const graphs = [...others, metadata].sort((a, b) => (a.slug < b.slug ? -1 : 1));
  ensureWritableDir(path.dirname(list));
  writeFileAtomic(fileOf(metadata.slug), content);
  writeFileAtomic(list, formatJson({ graphs }));
  return [fileOf(metadata.slug), list];
}

/** What is listed so far; nothing where that cannot be read. */
function listed(file: string): z.infer<typeof listSchema>["graphs"] {
  if (!pathExists(file)) return [];
  try {
    return listSchema.parse(JSON.parse(readText(file))).graphs;
  } catch {
    return [];
  }
}
