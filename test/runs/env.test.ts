/** The environment of a run: git revisions of made-up repositories, versions. */
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, it } from "vitest";
import { describeEnv, gitRevision } from "../../src/runs/env.ts";
import { useTempDir } from "../support/temp.ts";

const at = useTempDir();
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const OTHER = "fedcba9876543210fedcba9876543210fedcba98";

function write(file: string, text: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

describe("the git revision", () => {
  it("is the commit of the branch that HEAD names, from below the folder too", () => {
    write(at(".git/HEAD"), "ref: refs/heads/main\n");
    write(at(".git/refs/heads/main"), `${COMMIT}\n`);
    fs.mkdirSync(at("a/b"), { recursive: true });
    expect(gitRevision(at("a/b"))).toBe(COMMIT);
  });

  it("is found among packed refs", () => {
    write(at(".git/HEAD"), "ref: refs/heads/main\n");
    write(at(".git/packed-refs"), `# pack-refs with: peeled\n${OTHER} refs/heads/xmain\n${COMMIT} refs/heads/main\n`);
    expect(gitRevision(at())).toBe(COMMIT);
  });

  it("is HEAD itself when detached", () => {
    write(at(".git/HEAD"), `${COMMIT}\n`);
    expect(gitRevision(at())).toBe(COMMIT);
  });

  it("is found from a worktree", () => {
    write(at("repo/.git/HEAD"), `${OTHER}\n`);
    write(at("repo/.git/refs/heads/side"), `${COMMIT}\n`);
    write(at("repo/.git/worktrees/w/HEAD"), "ref: refs/heads/side\n");
    write(at("repo/.git/worktrees/w/commondir"), "../..\n");
    write(at("w/.git"), `gitdir: ${at("repo/.git/worktrees/w")}\n`);
    expect(gitRevision(at("w"))).toBe(COMMIT);
  });

  it("is null before the first commit", () => {
    write(at(".git/HEAD"), "ref: refs/heads/main\n");
    expect(gitRevision(at())).toBeNull();
  });

  it("is null outside a repository", () => {
    expect(gitRevision(path.parse(at()).root)).toBeNull();
  });
});

it("the environment has the versions of node and of this package", () => {
  const engine = { name: "reference", isa: "javascript", threads: 1 } as const;
  const env = describeEnv(3, engine);
  const own = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../../package.json"), "utf8"));
  expect(env).toMatchObject({
    package: own.version,
    node: process.version,
    platform: process.platform,
    engine,
    seed: 3,
  });
});
