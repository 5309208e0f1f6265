/**
 * Every check on circuits with known faults: each fault is caught by the checks that are there for it, and the planted
 * circuit passes all. docs/VERIFICATION-MATRIX.md is the table; `MATRIX=write npx vitest run test/verify/matrix.test.ts`
 * writes it. Otherwise what is there is compared with what the code gives; of the checks that search, which take longer,
 * those that a fault is caught by, and on the planted circuit all.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CHECKS, type CheckName, type Verdict } from "../../src/circuits/verification.ts";
import { ALL_CHECKS } from "../../src/verify/verify.ts";
import { fastest } from "../support/engines.ts";
import { FAULTS, type Fault } from "./faults.ts";
import { labOf } from "./subject.ts";

const FILE = new URL("../../docs/VERIFICATION-MATRIX.md", import.meta.url);
const writes = process.env.MATRIX === "write";

type Verdicts = Partial<Record<CheckName, Verdict>>;

const HEAD = `# Checks on circuits with known faults

Each row is a small model whose weights were written by hand among random ones (\`test/verify/faults.ts\`), and a set of its nodes that
is said to be the circuit. Each column is a check of \`circuit verify\`, in its short form. **Bold** are the checks that
are there for the fault, none of which may pass. The first row is the circuit that was planted, which passes all.

Written by \`MATRIX=write npx vitest run test/verify/matrix.test.ts\`; the same test without \`MATRIX\` checks that the table is what the
code gives.
`;

const CELL: Record<Verdict, string> = { pass: "pass", weak: "weak", fail: "FAIL", "not applicable": "-" };

function checksOf({ caughtBy, isPlanted }: Fault): readonly CheckName[] {
  if (writes) return CHECKS;
  return CHECKS.filter((name) => isPlanted || caughtBy.includes(name) || !ALL_CHECKS[name].searches);
}

function cell(name: CheckName, verdict: Verdict, { caughtBy }: Fault): string {
  return caughtBy.includes(name) ? `**${CELL[verdict]}**` : CELL[verdict];
}

function tableOf(results: ReadonlyMap<Fault, Verdicts>): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    row(["fault", ...CHECKS]),
    row(["---", ...CHECKS.map(() => "---")]),
    ...[...results].map(([fault, verdicts]) =>
      row([fault.name, ...CHECKS.map((name) => cell(name, verdicts[name]!, fault))]),
    ),
  ].join("\n");
}

/** Cells by fault and check. */
function stored(): Map<string, string> {
  const rows = readFileSync(FILE, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").map((text) => text.trim()));
  const [names = [], , ...faults] = rows;
  return new Map(faults.flatMap((cells) => cells.map((text, i) => [`${cells[1]}: ${names[i]}`, text] as const)));
}

const results = new Map<Fault, Verdicts>();

describe.each(FAULTS)("$name", (fault) => {
  it("is caught by the checks that are there for it, and the table says so", { timeout: 600_000 }, async () => {
    const engine = fastest.open();
    const lab = labOf(await fault.make(engine));
    const verdicts: Verdicts = {};
    for (const name of checksOf(fault)) {
      const finding = await ALL_CHECKS[name].run(lab);
      verdicts[name] = finding.verdict;
      expect(JSON.stringify(finding)).not.toMatch(/undefined|NaN|Infinity/);
    }
    engine.dispose();
    results.set(fault, verdicts);
    const passed = (names: readonly CheckName[]): CheckName[] => names.filter((name) => verdicts[name] === "pass");
    if (fault.isPlanted) expect(passed(CHECKS)).toEqual(CHECKS);
    else expect(passed(fault.caughtBy)).toEqual([]);
    if (writes) return;
    const table = stored();
    const there = checksOf(fault).map((name) => [name, table.get(`${fault.name}: ${name}`)]);
    expect(checksOf(fault).map((name) => [name, cell(name, verdicts[name]!, fault)])).toEqual(there);
  });
});

it("every check fails for some fault, and the table has every fault and check", () => {
  const failed = (name: CheckName): boolean => [...results.values()].some((verdicts) => verdicts[name] === "fail");
  expect(CHECKS.filter((name) => !failed(name))).toEqual([]);
  const list = FAULTS.map(({ name, what }) => `- **${name}**: ${what}.`).join("\n");
  if (writes) writeFileSync(FILE, `${HEAD}\n${list}\n\n${tableOf(results)}\n`);
  const text = readFileSync(FILE, "utf8");
  expect(text.startsWith(`${HEAD}\n${list}\n`)).toBe(true);
  expect([...stored().keys()].filter((key) => /: [a-z ]+$/.test(key))).toHaveLength(
    FAULTS.length * (1 + CHECKS.length),
  );
});
