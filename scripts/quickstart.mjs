/**
 * `npm run quickstart`: from a fresh checkout to a figure. Installs and builds what is missing, trains on the quotes
 * task, extracts the circuit, and exports it. Stops at the first step that fails.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const run = join("runs", "quotes");

function step(title, command, args) {
  console.log(`\n> ${title}`);
  const { status, signal } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status === 0) return;
  console.error(`\nquickstart stopped: "${title}" ended with ${signal ?? `exit code ${status}`}.`);
  process.exit(status ?? 1);
}

const tool = (name, ...args) => [process.execPath, [join("dist", "src", "cli", `${name}.js`), ...args]];

const started = Date.now();
if (!existsSync(join(root, "node_modules", ".package-lock.json"))) step("npm ci", "npm", ["ci"]);
step("npm run build", "npm", ["run", "build", "--silent"]);
step("sparse train --task quotes", ...tool("sparse", "train", "--task", "quotes", "--out", run, "--force"));
step("circuit extract runs/quotes", ...tool("circuit", "extract", run));
step("circuit show runs/quotes", ...tool("circuit", "show", run));
step("circuit export runs/quotes", ...tool("circuit", "export", run, "--format", "all"));
console.log(`\nDone in ${Math.round((Date.now() - started) / 1000)} s.`);
