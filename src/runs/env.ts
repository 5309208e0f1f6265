/** What a run was made with: versions, platform, engine, seed, and the git revision of the working folder. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import type { EngineInfo } from "../engine/engine.ts";

export interface RunEnv {
  readonly package: string;
  readonly node: string;
  readonly platform: string;
  readonly arch: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly engine: EngineInfo;
  readonly seed: number;
  /** Commit of the folder the tool was started in; null outside a repository. */
  readonly gitRevision: string | null;
}

function readIfThere(file: string): string | undefined {
  try {
    return fs.readFileSync(file, "utf8").trim();
  } catch {
    // What is not readable is not reported: the environment is a courtesy, not a condition of the run.
    return undefined;
  }
}

/** The first folder from `start` upwards for which `test` has a value. */
function searchUp<T>(start: string, test: (dir: string) => T | undefined): T | undefined {
  for (let dir = path.resolve(start); ; dir = path.dirname(dir)) {
    const found = test(dir);
    if (found !== undefined || dir === path.dirname(dir)) return found;
  }
}

/** Version of this package, from its own package.json, whether run from sources or from the build. */
export function packageVersion(): string {
  const start = path.dirname(fileURLToPath(import.meta.url));
  const version = searchUp(start, (dir) => {
    const text = readIfThere(path.join(dir, "package.json"));
    const found = text === undefined ? undefined : (JSON.parse(text) as { name?: unknown; version?: unknown });
    return found?.name === "sparse-circuits" ? String(found.version) : undefined;
  });
  return version ?? "unknown";
}

/** The git folder of a working folder; `.git` is a file in worktrees and submodules. */
function gitFolder(dir: string): string | undefined {
  const dotGit = path.join(dir, ".git");
  if (readIfThere(path.join(dotGit, "HEAD")) !== undefined) return dotGit;
  const link = /^gitdir: (.+)$/m.exec(readIfThere(dotGit) ?? "")?.[1];
  return link === undefined ? undefined : path.resolve(dir, link);
}

/** The commit that HEAD names, read from git's files without running git; null where there is none. */
export function gitRevision(start: string): string | null {
  const folder = searchUp(start, gitFolder);
  if (folder === undefined) return null;
  const head = readIfThere(path.join(folder, "HEAD")) ?? "";
  const ref = /^ref: (.+)$/.exec(head)?.[1];
  const commit = ref === undefined ? head : findRef(folder, ref);
  return commit !== undefined && /^[0-9a-f]{40,64}$/.test(commit) ? commit : null;
}

function findRef(folder: string, ref: string): string | undefined {
  const common = readIfThere(path.join(folder, "commondir"));
  const folders = common === undefined ? [folder] : [folder, path.resolve(folder, common)];
  for (const dir of folders) {
    const loose = readIfThere(path.join(dir, ref));
    if (loose !== undefined) return loose;
    const packed = readIfThere(path.join(dir, "packed-refs"))
      ?.split("\n")
      .find((line) => line.endsWith(` ${ref}`));
    if (packed !== undefined) return packed.split(" ")[0];
  }
  return undefined;
}

/** The environment of this process. */
export function describeEnv(seed: number, engine: EngineInfo, workingDir: string = process.cwd()): RunEnv {
  const cpus = os.cpus();
  return {
    package: packageVersion(),
    node: process.version,
    platform: process.platform,
    arch: process.arch,
    cpu: cpus[0]?.model.trim() ?? "unknown",
    cores: cpus.length,
    memoryBytes: os.totalmem(),
    engine,
    seed,
    gitRevision: gitRevision(workingDir),
  };
}
