/**
 * How much memory this process may have: that of the machine, within the limits of its control groups (those of a
 * container). Swap counts. Where the system does not tell what is free, all counts as free.
 */
import * as fs from "node:fs";
import * as os from "node:os";

/** In bytes. */
export interface Memory {
  readonly total: number;
  /** Not in use now, or given up by the system when it is asked for. */
  readonly free: number;
}

/** Where the readings come from. */
export interface MemorySource {
  /** Text of a file; undefined when it cannot be read. */
  readonly file: (path: string) => string | undefined;
  /** Bytes of the machine, where there is no file about it. */
  readonly total: () => number;
}

const SYSTEM: MemorySource = {
  file: (path) => {
    try {
      return fs.readFileSync(path, "utf8");
    } catch {
      return undefined;
    }
  },
  total: os.totalmem,
};

export function readMemory(source: MemorySource = SYSTEM): Memory {
  const info = source.file("/proc/meminfo");
  const total = fieldOf(info, "MemTotal:");
  if (total === undefined) return { total: source.total(), free: source.total() };
  const kilobytes = (field: string): number | undefined => {
    const value = fieldOf(info, field);
    return value === undefined ? undefined : 1024 * value;
  };
  const swap = { total: kilobytes("SwapTotal:") ?? 0, free: kilobytes("SwapFree:") ?? 0 };
  const free = kilobytes("MemAvailable:") ?? kilobytes("MemFree:") ?? 1024 * total;
  let least: Memory = { total: 1024 * total + swap.total, free: free + swap.free };
  for (const group of groups(source.file("/proc/self/cgroup") ?? "")) {
    const limit = group(source, swap);
    if (limit) least = { total: Math.min(least.total, limit.total), free: Math.min(least.free, limit.free) };
  }
  return least;
}

/** What one control group allows, with the machine's swap; undefined when it sets no limit. */
type Group = (source: MemorySource, swap: Memory) => Memory | undefined;

/** The groups of a process from its own up to the root, which in a container may be the only one to be seen. */
function* groups(lines: string): Generator<Group> {
  for (const line of lines.split("\n")) {
    const [, controllers, name] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || name === undefined) continue;
    const version1 = controllers.split(",").includes("memory");
    if (!version1 && controllers !== "") continue;
    const parts = name.split("/").filter((part) => part !== "");
    for (let depth = parts.length; depth >= 0; depth--) {
      const path = parts.slice(0, depth).map((part) => `/${part}`);
      yield version1 ? group1(`/sys/fs/cgroup/memory${path.join("")}`) : group2(`/sys/fs/cgroup${path.join("")}`);
    }
  }
}

/** Version 2: memory and swap have limits of their own. */
const group2 =
  (folder: string): Group =>
  (source, swap) => {
    const read = (file: string): number | undefined => numberOf(source.file(`${folder}/memory.${file}`));
    const limit = read("max");
    if (limit === undefined) return undefined;
    const swapLimit = read("swap.max") ?? Number.POSITIVE_INFINITY;
    const cached = fieldOf(source.file(`${folder}/memory.stat`), "inactive_file") ?? 0;
    const free = limit - (read("current") ?? 0) + cached;
    const freeSwap = swapLimit - (read("swap.current") ?? 0);
    return { total: limit + Math.min(swapLimit, swap.total), free: free + Math.max(0, Math.min(freeSwap, swap.free)) };
  };

/** Version 1: one limit of memory, and one of memory and swap together. */
const group1 =
  (folder: string): Group =>
  (source, swap) => {
    const read = (file: string): number | undefined => numberOf(source.file(`${folder}/memory.${file}_in_bytes`));
    const limit = read("limit");
    if (limit === undefined) return undefined;
    const both = read("memsw.limit") ?? Number.POSITIVE_INFINITY;
    const cached = fieldOf(source.file(`${folder}/memory.stat`), "total_inactive_file") ?? 0;
    const free = limit - (read("usage") ?? 0) + cached;
    const freeBoth = both - (read("memsw.usage") ?? 0) + cached;
    return { total: Math.min(limit + swap.total, both), free: Math.min(free + swap.free, freeBoth) };
  };

/** Undefined for "max" and for no file. */
function numberOf(text: string | undefined): number | undefined {
  const value = Number(text?.trim() || Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}

/** The number after `field` on its line. */
function fieldOf(text: string | undefined, field: string): number | undefined {
  const line = text?.split("\n").find((l) => l.startsWith(`${field} `));
  return line === undefined ? undefined : numberOf(line.slice(field.length).trim().split(" ")[0]);
}
