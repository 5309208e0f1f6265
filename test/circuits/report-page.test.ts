/** The report page: read by a parser, nothing hidden, nothing that a text in it could break. */
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { oneLine } from "../../src/circuits/layout/text.ts";
import { alike } from "../../src/circuits/numbers.ts";
import { reportPage } from "../../src/circuits/report-page.ts";
import { CHECKS, type Plot, type Report, type ReportCheck, reportSchema } from "../../src/circuits/verification.ts";
import { python } from "../support/python.ts";
import { sampleCheck, samplePlot, sampleReport } from "../support/report.ts";
import { parseXml, type XmlElement } from "../support/xml.ts";
import { LABELS } from "./support.ts";

const parsed = async (report: Report): Promise<XmlElement[]> => parseXml(await reportPage(report));
const named = (elements: readonly XmlElement[], name: string): XmlElement[] => elements.filter((e) => e.name === name);
const section = (elements: readonly XmlElement[], id: string): XmlElement =>
  elements.find((e) => e.attributes.get("id") === id)!;
const pageOf = (over: Partial<ReportCheck>): Promise<string> => reportPage(sampleReport([sampleCheck("curve", over)]));

/** Of every kind, with `text` everywhere. */
function rich(text?: string): Report {
  const table = {
    title: text ?? "",
    columns: [text ?? "", "value"],
    rows: [
      [text ?? "", 0.5],
      ["b", null],
    ],
  };
  return sampleReport(
    [
      sampleCheck("sufficiency", { plots: [samplePlot(text)], tables: [table] }, text),
      sampleCheck("interchange", { verdict: "fail" }, text),
    ],
    text,
  );
}

describe("page", () => {
  const all = sampleReport(CHECKS.map((name) => sampleCheck(name)));

  test("every check has its row, linked to its section", async () => {
    const elements = await parsed(reportSchema.parse(all));
    const rows = named(elements, "tr").map(({ text }) => text);
    for (const { name, verdict, reason } of all.checks) {
      expect(rows.filter((row) => row.startsWith(name) && row.includes(verdict) && row.includes(reason))).toHaveLength(
        1,
      );
      expect(section(elements, name.replaceAll(" ", "-")).text).toContain(reason);
    }
    const ids = new Set(elements.map(({ attributes }) => attributes.get("id")));
    const links = named(elements, "a").map(({ attributes }) => attributes.get("href")!);
    expect(links.length).toBeGreaterThanOrEqual(CHECKS.length);
    for (const href of links) expect(ids).toContain(href.replace(/^#/, ""));
  });

  test("checks that were not run are rows that say so, without a section", async () => {
    const elements = await parsed(rich());
    const rows = named(elements, "tr").map(({ text }) => text);
    for (const name of CHECKS.filter((n) => n !== "sufficiency" && n !== "interchange")) {
      expect(rows.find((row) => row.startsWith(name))).toContain("not run");
      expect(section(elements, name.replaceAll(" ", "-"))).toBeUndefined();
    }
    const notRun = named(elements, "li").find(({ text }) => text.includes("not run"))!;
    expect(notRun.text).toContain(`${CHECKS.length - 2}: necessity, weight necessity`);
  });

  test("a failure is named at the top though the summary hides it", async () => {
    const elements = await parsed({ ...rich(), summary: "all is well" });
    expect(named(elements, "header")[0]!.text).toMatch(/✗ fail1: interchange/);
  });

  test("figures have intervals and units; what there is not is a dash", async () => {
    const { text } = section(await parsed(rich()), "sufficiency");
    expect(text).toContain("0.1280");
    expect(text).toContain("[0.0951, 0.1632]");
    expect(text).toMatch(/size—\s/);
  });

  test("figures without intervals or units have no columns for them", async () => {
    const elements = parseXml(await pageOf({ figures: [{ name: "spare nodes", value: 0 }] }));
    const titles = named(elements, "th").map(({ text }) => text);
    expect(titles.slice(titles.indexOf("Quantity"))).toEqual(["Quantity", "Value"]);
  });

  test("no script, no resource from elsewhere", async () => {
    const page = await reportPage(rich());
    const elements = parseXml(page);
    const names = new Set(elements.map(({ name }) => name));
    for (const name of ["script", "img", "image", "link", "iframe", "object", "foreignObject"]) {
      expect(names).not.toContain(name);
    }
    expect(page.replaceAll(/xmlns(:xlink)?="[^"]*"/g, "")).not.toMatch(/https?:|url\(|@import/);
    for (const { attributes } of elements) for (const key of attributes.keys()) expect(key).not.toMatch(/^(on|src)/);
  });

  test("the same report gives the same bytes", async () => {
    const page = await reportPage(rich());
    await reportPage(all);
    expect(await reportPage(structuredClone(rich()))).toBe(page);
  });

  test.skipIf(!python)("another parser reads the same elements", async () => {
    const page = await reportPage(rich(LABELS.join(" ")));
    const script = `
import sys, xml.etree.ElementTree as tree
print(" ".join(e.tag.split("}")[-1] for e in tree.fromstring(sys.stdin.buffer.read()).iter()))`;
    const { stdout, stderr } = spawnSync(python!, ["-c", script], { input: page, encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout.trim().split(" ")).toEqual(parseXml(page).map(({ name }) => name));
  });
});

describe("text", () => {
  const plain = parsed(rich("plain"));

  async function staysText(text: string): Promise<void> {
    const elements = await parsed(rich(text));
    // Figures have as many elements as their text has lines.
    const shape = (es: readonly XmlElement[]) =>
      es.map(({ name }) => name).filter((name) => !/^(g|path|text|tspan|line|rect)$/.test(name));
    expect(shape(elements)).toEqual(shape(await plain));
    const [title] = named(elements, "title");
    expect(title!.text.startsWith(oneLine(text))).toBe(true);
    for (const reason of [`${text} decided sufficiency`, `${text} decided interchange`]) {
      expect(named(elements, "td").map((td) => td.text)).toContain(oneLine(reason));
    }
    expect(named(elements, "h3")[0]!.text).toBe(oneLine(text));
  }

  it.each(LABELS)("%j stays text", staysText);

  it("law: whatever it holds", async () => {
    const hostile = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .array(
          fc.constantFrom("<", ">", "&", '"', "'", "</style>", "<!--", "\n", "\u0000", "&lt;", "$&", "constructor"),
          {
            minLength: 1,
          },
        )
        .map((parts) => parts.join("")),
    );
    await fc.assert(fc.asyncProperty(hostile, staysText), { numRuns: 15, seed: 20251113 });
  });
});

describe("plots", () => {
  const point = (x: number, y: number) => ({ x, y });
  const plot = (over: Partial<Plot>): Plot => ({ ...samplePlot(), ...over });

  test("one SVG each, with the title as its caption", async () => {
    const elements = parseXml(await pageOf({ plots: [samplePlot("first"), samplePlot("second")] }));
    expect(named(elements, "svg")).toHaveLength(2);
    expect(named(elements, "figcaption").map(({ text }) => text)).toEqual([
      "firstDashed: first of 0.4.",
      "secondDashed: second of 0.4.",
    ]);
  });

  test.each([
    ["no series", []],
    ["no points", [{ name: "a", points: [] }]],
  ])("%s: a caption that says so", async (_, series) => {
    const page = await pageOf({ plots: [plot({ series })] });
    expect(page).not.toContain("<svg");
    expect(page).toContain("Nothing to draw.");
  });

  test("what a logarithmic axis cannot show is counted", async () => {
    const series = [
      { name: "a", points: [point(1, 0), point(0, 1), point(1, 1), { ...point(2, 0.5), low: -1, high: 2 }] },
    ];
    const page = await pageOf({
      plots: [plot({ x: { label: "x", log: true }, y: { label: "y", log: true }, series })],
    });
    expect(page).toContain("n = 2.");
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
  });

  const heights = (page: string): number[] => {
    const [, d] = /<path[^>]* d="(M[^"]*)"[^>]* stroke-width="1.8"/.exec(page)!;
    return [...d!.matchAll(/[ML][\d.]+,(-?[\d.]+)/g)].map(([, y]) => Number(y));
  };

  test("an axis holds all points, whatever domain was asked for", async () => {
    const series = [{ name: "a", points: [point(0, 0.5), point(1, 1.5)] }];
    const page = await pageOf({ plots: [plot({ y: { label: "y", domain: [0, 1] }, series })] });
    for (const height of heights(page)) expect(height).toBeGreaterThanOrEqual(0);
  });

  test.each([undefined, [0, 1] as [number, number]])("a level is within the frame, domain %j", async (domain) => {
    const series = [{ name: "a", points: [point(0, 0), point(1, 0.5)] }];
    const page = await pageOf({ plots: [plot({ y: { label: "y", domain }, level: 1, series })] });
    const [, level] = /<line transform="translate\(240,([-\d.]+)\)" x2="-240"[^>]*stroke-dasharray/.exec(page)!;
    expect(Number(level)).toBeGreaterThan(5);
    expect(Math.max(...heights(page))).toBe(175);
  });

  test("a flat line is inside the frame", async () => {
    const series = [{ name: "a", points: [point(0, 0.3), point(1, 0.3)] }];
    const page = await pageOf({ plots: [plot({ level: undefined, series })] });
    for (const height of heights(page)) expect(height).toBeCloseTo(87.5);
  });
});

describe("tables", () => {
  test("all of many rows", async () => {
    const rows = Array.from({ length: 200 }, (_, i) => [`row ${i}`, i / 7]);
    const elements = parseXml(await pageOf({ tables: [{ title: "many", columns: ["name", "x"], rows }] }));
    const cells = new Set(named(elements, "td").map(({ text }) => text));
    for (const [name] of rows) expect(cells).toContain(name);
    expect(named(elements, "h3")[0]!.text).toBe("many (200 rows)");
  });

  test("no rows, columns of nothing but nulls", async () => {
    const tables = [
      { title: "empty", columns: ["a"], rows: [] },
      { title: "nulls", columns: ["a"], rows: [[null]] },
    ];
    const elements = parseXml(await pageOf({ tables, figures: [] }));
    expect(named(elements, "td").at(-1)!.text).toBe("—");
  });
});

describe("numbers", () => {
  test.each([
    [[1234567], ["1,234,567"]],
    [[0.128], ["0.128"]],
    [[0.00421], ["0.0042"]],
    [[0.0000021], ["2.1e-6"]],
    [
      [-1.5, 0, 3],
      ["−1.500", "0.000", "3.000"],
    ],
    [
      [0.128, 0.0951, 0.1632],
      ["0.1280", "0.0951", "0.1632"],
    ],
    [
      [12, 0.004],
      ["12.00", "4.0e-3"],
    ],
    [[1234.56], ["1,234.6"]],
    [
      [null, Number.NaN, 2],
      ["—", "—", "2"],
    ],
    [[null], ["—"]],
  ])("%j", (values, texts) => {
    expect(values.map(alike(values))).toEqual(texts);
  });
});
