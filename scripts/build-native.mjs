/**
 * Builds the native engine with npm's own node-gyp when the package is installed. A failure never breaks the install:
 * the reason is kept in build/native-error.txt, where the tool finds it and explains it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const binary = join(root, "build", "Release", "sparse_native.node");
const failure = join(root, "build", "native-error.txt");

/** Keeps why the build failed and says so; the tool repeats it when the native engine is asked for. */
function giveUp(reason) {
  mkdirSync(dirname(failure), { recursive: true });
  writeFileSync(failure, `${reason}\n`);
  process.stderr.write(
    `sparse-circuits: the native engine was not built (${reason.split("\n")[0]}).\n` +
      "Everything works on the slower reference engine. For the native one install Python 3, make and a C++17\n" +
      "compiler (GCC or Clang) and run: npm run install\n",
  );
}

function main() {
  if (process.env.SPARSE_SKIP_NATIVE) return giveUp("SPARSE_SKIP_NATIVE is set");
  const gyp = process.env.npm_config_node_gyp;
  if (!gyp || !existsSync(gyp)) return giveUp("npm's node-gyp was not found; run this through npm");
  if (process.platform === "win32") return giveUp("only GCC and Clang are supported, not the Windows compiler");
  const run = spawnSync(process.execPath, [gyp, "rebuild", "--release", "-j", "max"], { cwd: root, encoding: "utf8" });
  if (run.status === 0 && existsSync(binary)) {
    rmSync(failure, { force: true });
    return;
  }
  const lines = `${run.stdout ?? ""}\n${run.stderr ?? ""}`.split("\n");
  const cause = lines.find((l) => /error:|not found|could not find|no such file/i.test(l)) ?? "node-gyp failed";
  giveUp(`${cause.trim()}\n\n${lines.slice(-60).join("\n")}`);
}

main();
