/** What `sparse` refuses before it does anything: exit 2, the reason, the nearest valid word, and nothing written. */
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, it } from "vitest";
import { FIXTURES, folders } from "../support/fixtures.ts";
import { useTempDir } from "../support/temp.ts";
import { run } from "./programs.ts";

const temp = useTempDir();

async function refusal(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toMatch(/^error: .+\nhint: .+\n$/);
  return stderr;
}

const QUOTES = ["--task", "quotes"];

describe("train", () => {
  it.each([
    { args: [], says: ["no task was given", "--task quotes"] },
    { args: ["--task"], says: ["--task <name>", "argument missing"] },
    { args: [...QUOTES, "--sed", "1"], says: ["unknown option '--sed'", '"--seed"'] },
    { args: [...QUOTES, "extra"], says: ["too many arguments", "sparse train --help"] },
    { args: [...QUOTES, "--steps", "0"], says: ["--steps", 'received "0"', "nearest valid value is 1"] },
    { args: [...QUOTES, "--steps", "many"], says: ["--steps", 'received "many"'] },
    { args: [...QUOTES, "--preset", "qoutes"], says: ["--preset", "brackets, ", "Did you mean quotes?"] },
    { args: [...QUOTES, "--seed", "-1"], says: ["--seed", "nearest valid value is 0"] },
    { args: [...QUOTES, "--density", "0"], says: ["training.density", "above 0"] },
    { args: [...QUOTES, "--density", "1/0"], says: ["--density", "1/0"] },
    { args: [...QUOTES, "--engine", "natvie"], says: ["natvie", "Did you mean native?"] },
    { args: [...QUOTES, "--threads", "4096"], says: ["4096 threads", "this machine has"] },
    { args: [...QUOTES, "--threads", "0"], says: ["--threads", 'received "0"', "nearest valid value is 1"] },
    { args: [...QUOTES, "--threads", "-2"], says: ["--threads", 'received "-2"'] },
    { args: [...QUOTES, "--threads", "1.5"], says: ["--threads", "whole number", 'received "1.5"'] },
    { args: [...QUOTES, "--threads", "two"], says: ["--threads", 'received "two"'] },
    { args: [...QUOTES, "--set", "model.width=70000"], says: ["model.width", "nearest valid value is 65535"] },
    { args: [...QUOTES, "--set", "model.heads=5000"], says: ["5000 heads of 16", "240000", "heads or headWidth"] },
    { args: [...QUOTES, "--set", "model.headWidth=512", "--set", "model.width=512"], says: ["headWidth 512", "256"] },
    {
      args: [...QUOTES, "--set", "model.contextLength=65535", "--set", "training.batch=65535"],
      says: ["65535 x 65536 x 128", "2147483647", "Lower the batch"],
    },
    {
      args: [...QUOTES, "--set", "model.width=8192", "--set", "model.heads=4", "--set", "model.layers=200"],
      says: ["Training needs about", "GB in all", "Lower model.width"],
    },
    { args: [...QUOTES, "--set", "training.rl=1"], says: ["training.rl", '"training.lr"'] },
    { args: [...QUOTES, "--set", "training.lr"], says: ["expected key=value"] },
    { args: [...QUOTES, "--set", "training.lr=fast"], says: ["training.lr", "expected number", '"fast"'] },
    { args: [...QUOTES, "--set", "training.beta1=1"], says: ["training.beta1", "below 1"] },
    { args: [...QUOTES, "--set", "model.norm=rmss"], says: ["model.norm", 'nearest valid value is "rms"'] },
    { args: [...QUOTES, "--set", "model.width=100"], says: ["model.width 100", "model.headWidth 16"] },
    { args: [...QUOTES, "--set", "model.contextLength=16"], says: ["context of 16"] },
    { args: [...QUOTES, "--set", "data.profile=quots"], says: ["quots", '"quotes"'] },
    { args: [...QUOTES, "--config", "none.json"], says: ["none.json", "no such file"] },
    { args: ["--resume", "none"], says: ["no run at none"] },
    { args: ["--resume", "none", "--steps", "3"], says: ["--resume", "cannot be used with", "--steps"] },
  ])("refuses $args", async ({ args, says }) => {
    const place = args.includes("--resume") ? [] : ["--out", temp("run")];
    const stderr = await refusal(["train", ...place, ...args]);
    for (const text of says) expect(stderr).toContain(text);
    expect(fs.readdirSync(temp())).toEqual([]);
  });

  it.each([
    { settings: "{", says: "not valid JSON" },
    { settings: '{"training": {"stepps": 3}}', says: '"training.steps"' },
    { settings: '{"trainign": {"steps": 3}}', says: "trainign" },
    { settings: '{"model": 3}', says: "Setting model: expected object" },
    { settings: '{"seed": "1"}', says: "Setting seed: expected number" },
  ])("refuses the settings file $settings", async ({ settings, says }) => {
    fs.writeFileSync(temp("own.json"), settings);
    expect(await refusal(["train", ...QUOTES, "--config", temp("own.json"), "--out", temp("run")])).toContain(says);
    expect(fs.readdirSync(temp())).toEqual(["own.json"]);
  });
});

describe("forward", () => {
  const model = path.join(FIXTURES, "checkpoints", folders("", "checkpoints")[0]!);

  it.each([
    { tokens: "[[1,2],[3]]", says: "row 1 has 1 token but row 0 has 2" },
    { tokens: "[[1,2],[3,9999]]", says: "token id 9999 at row 1, position 1" },
    { tokens: "[[1,-2]]", says: "token id -2" },
    { tokens: "[[3000000000]]", says: "token id 3000000000" },
    { tokens: `[[${Array(500).fill(1).join()}]]`, says: "longer than the model's context" },
    { tokens: "[[1.5]]", says: "rows of token ids" },
    { tokens: "[[]]", says: "rows of token ids" },
    { tokens: "[]", says: "rows of token ids" },
    { tokens: '"1 2 3"', says: "rows of token ids" },
    { tokens: "[[1,", says: "not valid JSON" },
    { tokens: "[[1]]", sites: "0.mlp.post_actt", says: '"0.mlp.post_act"' },
    { tokens: "[[1]]", sites: "9.*", says: 'nothing is called "9.*"' },
  ])("refuses tokens $tokens, sites $sites", async ({ tokens, sites = "*", says }) => {
    fs.writeFileSync(temp("ids.json"), tokens);
    const files = ["--tokens", temp("ids.json"), "--out", temp("x.safetensors")];
    expect(await refusal(["forward", model, ...files, "--sites", sites])).toContain(says);
    expect(fs.readdirSync(temp())).toEqual(["ids.json"]);
  });

  it("takes rows of ids or an object with tokens", async () => {
    for (const tokens of ["[[1,2],[3,4]]", '{"tokens": [[1,2],[3,4]]}']) {
      fs.writeFileSync(temp("ids.json"), tokens);
      const files = ["--tokens", temp("ids.json"), "--out", temp("x.safetensors")];
      const { code, stdout } = await run("forward", model, ...files, "--json", "--engine", "reference");
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ event: "done", batch: 2, length: 2, engine: "reference" });
    }
  });
});

it("names the nearest command", async () => {
  expect(await refusal(["trian"])).toContain('Did you mean "train"?');
});

it("names the nearest command of a group", async () => {
  expect(await refusal(["corpus", "stast"])).toContain('Did you mean "stats"?');
});

it("prints errors of usage as JSON", async () => {
  const { code, stdout } = await run("train", "--json", "--sed");
  expect(code).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({ event: "error", code: "usage-unknownOption" });
});
