/** Runs the programs as a user does: a process of its own in a folder of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import * as path from "node:path";
import { pathToFileURL } from "node:url";

const ROOT = path.resolve(import.meta.dirname, "../..");
const TSX = pathToFileURL(path.join(ROOT, "node_modules/tsx/dist/loader.mjs")).href;

export interface Ended {
  /** Exit code; null when a signal ended the process. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves once stdout holds the text. */
  seen(text: string): Promise<void>;
}

/** Starts `sparse` or `circuit` in a folder. */
export function start(program: "sparse" | "circuit", args: readonly string[], cwd: string): Started {
  const file = path.join(ROOT, "src/cli", `${program}.ts`);
  const env = { ...process.env, NO_COLOR: "1" };
  const child = spawn(process.execPath, ["--import", TSX, file, ...args], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  const waiting = new Map<string, () => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const [sought, resolve] of waiting) if (stdout.includes(sought)) resolve();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  const seen = async (text: string): Promise<void> => {
    const found = new Promise<void>((resolve) => waiting.set(text, resolve));
    const end = ended.then(({ stderr: errors }) => {
      if (!stdout.includes(text)) throw new Error(`ended without printing ${text}: ${errors}`);
    });
    if (!stdout.includes(text)) await Promise.race([found, end]);
  };
  return { child, ended, seen };
}

/** Runs `sparse` to its end. */
export function sparse(cwd: string, ...args: readonly string[]): Promise<Ended> {
  return start("sparse", args, cwd).ended;
}

/** The objects of --json output; throws unless every line is one. */
export function events(stdout: string): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
