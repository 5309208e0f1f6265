/**
 * A verification report as one HTML page that needs nothing else: no script, no font, no image from elsewhere; figures are
 * inline SVG. To be read on screen and in print. Shows what the report says and judges nothing.
 *
 * Contract: the same report gives the same bytes. Names, tokens and reasons are text, whatever they hold. The page is
 * well-formed XML too.
 */
import { html, Markup } from "./export/markup.ts";
import type { Labels } from "./labels.ts";
import { alike } from "./numbers.ts";
import { plotFigures } from "./report-plots.ts";
import { STYLE } from "./report-style.ts";
import { allChecks, type Outcome, SIGNS } from "./verdicts.ts";
import type { Figure, Report, ReportCheck, Table } from "./verification.ts";

/** Figures of a check that the overview shows: its first. */
const KEY_FIGURES = 3;
/** Characters of a hash, enough to tell weights apart. */
const HASH = 16;
/** Rows of a table that scrolls on the screen; paper has all of them. */
const LONG = 24;
/** Characters on a line of a table; and of a column of text at least, however many there are. */
const [LINE, NARROW] = [110, 5];
/** Characters on a line of one of the two columns that paper has; and between the columns of a table. */
const [HALF, BETWEEN] = [66, 2];
/** Columns of a table in small print. */
const WIDE = 8;

/** @param labels shown beside the nodes that have them */
export async function reportPage(report: Report, labels: Labels = new Map()): Promise<string> {
  const { circuit, summary } = report;
  const title = `${circuit.task}: is the circuit real?`;
  const sections: Markup[] = [];
  for (const { check } of allChecks(report.checks)) {
    if (check) sections.push(await section(check, circuit.target, labels));
  }
  const page = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>${title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<header>
<p class="kind">Verification of a circuit</p>
<h1>${title}</h1>
<p class="summary">${summary}</p>
${facts(report)}
${tally(report)}
</header>
<section id="overview">
<h2>All checks</h2>
${overview(report)}
</section>
${sections}
<footer>
<p>Figures are over the held-out contrast pairs (n = ${alike([report.pairs])(report.pairs)}) unless a check says otherwise;
intervals are 95% bootstrap intervals. All numbers, also those of the plots, are in <code>report.json</code>.</p>
</footer>
</body>
</html>
`;
  return page.text;
}

function facts({ circuit, form, seed, pairs }: Report): Markup {
  const whole = (n: number): string => alike([n])(n);
  const rows: readonly (readonly [string, string])[] = [
    ["Run", circuit.run],
    ["Weights", `${circuit.weightsHash.slice(0, HASH)}${circuit.weightsHash.length > HASH ? "…" : ""}`],
    ["Task", circuit.task],
    ["Variant", circuit.variant],
    ["Nodes", whole(circuit.nodes)],
    ["Edges", whole(circuit.edges)],
    ["Target", `task loss ${circuit.target} nats`],
    ["Ablation", circuit.ablation],
    ["Held-out pairs", whole(pairs)],
    ["Form, seed", `${form}, ${seed}`],
  ];
  return html`<dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** Which checks came out how: nothing is left unsaid, whatever the summary says. */
function tally({ checks, form }: Report): Markup {
  const all = allChecks(checks);
  const outcomes = (Object.keys(SIGNS) as Outcome[]).flatMap((outcome) => {
    const those = all.filter((c) => c.outcome === outcome);
    const names = those.map(({ name, check }, i) => html`${i > 0 ? ", " : ""}${check ? link(name) : name}`);
    const hint = outcome === "not run" && form === "short" ? " (the thorough form runs more)" : "";
    return names.length > 0
      ? html`<li><span>${badge(outcome)}</span><span>${names.length}: ${names}${hint}</span></li>\n`
      : [];
  });
  return html`<ul class="tally">${outcomes}</ul>`;
}

function overview({ checks }: Report): Markup {
  const rows = allChecks(checks).map(({ name, check, outcome }) => {
    const key = check?.figures.slice(0, KEY_FIGURES).map((figure) => {
      const { value, interval, unit } = figureText(figure);
      return html`<li>${figure.name} <span>${[value, unit, interval].filter((part) => part !== "").join(" ")}</span></li>`;
    });
    return html`<tr><th scope="row">${check ? link(name) : name}</th><td>${badge(outcome)}</td>
<td class="text">${check?.reason ?? ""}</td><td><ul class="key">${key ?? []}</ul></td></tr>
`;
  });
  return html`<div class="scroll"><table class="overview">
<thead><tr><th>Check</th><th>Verdict</th><th>Reason</th><th>Key figures [95% interval]</th></tr></thead>
<tbody>
${rows}</tbody>
</table></div>`;
}

async function section(check: ReportCheck, target: number, labels: Labels): Promise<Markup> {
  const plots = await plotFigures(check.plots, target);
  return html`<section id="${anchor(check.name)}">
<h2>${sentence(check.name)} ${badge(check.verdict)}</h2>
<div class="check">
<p class="question">${check.question}</p>
<p class="reason">${check.reason}</p>
<dl><dt>Definition</dt><dd>${check.definition}</dd>
<dt>Threshold</dt><dd>${check.threshold}</dd>
<dt>Source</dt><dd>${check.source}</dd></dl>
${check.figures.length > 0 ? figureTable(check.figures) : ""}
${plots.length > 0 ? html`<div class="plots">${plots}</div>` : ""}
${check.tables.map((table) => dataTable(withLabels(table, labels)))}</div>
</section>
`;
}

/** Without the columns that would be empty. */
function figureTable(figures: readonly Figure[]): Markup {
  const texts = figures.map((figure) => ({ name: figure.name, ...figureText(figure) }));
  const columns = (
    [
      { key: "name", title: "Quantity", kind: "text" },
      { key: "value", title: "Value", kind: "number" },
      { key: "interval", title: "95% interval", kind: "number" },
      { key: "unit", title: "Unit", kind: "text" },
    ] as const
  ).filter(({ key }) => texts.some((text) => text[key] !== ""));
  const row = (text: (typeof texts)[number]): Markup =>
    html`<tr>${columns.map(({ key, kind }) => html`<td class="${kind}">${text[key]}</td>`)}</tr>\n`;
  return html`<div class="scroll"><table>
<thead><tr>${columns.map(({ title, kind }) => html`<th class="${kind}">${title}</th>`)}</tr></thead>
<tbody>
${texts.map(row)}</tbody>
</table></div>`;
}

function figureText({ value, low, high, unit = "" }: Figure): { value: string; interval: string; unit: string } {
  const text = alike([value, low ?? null, high ?? null]);
  const interval = low === undefined || high === undefined ? "" : `[${text(low)}, ${text(high)}]`;
  return { value: text(value), interval, unit: value === null ? "" : unit };
}

/** Cells that are nodes, with their labels. */
function withLabels(table: Table, labels: Labels): Table {
  const shown = (cell: string | number | null) => {
    const label = typeof cell === "string" ? labels.get(cell) : undefined;
    return label === undefined ? cell : `${cell} (${label})`;
  };
  return { ...table, rows: table.rows.map((row) => row.map(shown)) };
}

/** All rows. Columns of numbers stand right with equal decimals. */
function dataTable({ title, columns, rows }: Table): Markup {
  const cells = columns.map((_, c) => columnOf(rows.map((row) => row[c] ?? null)));
  const widths = textWidths(cells);
  const head = cells.map(
    ({ kind }, c) => html`<th class="${kind}" style="min-width:${widths[c]!}em">${columns[c]!}</th>`,
  );
  const body = rows.map(
    (_, r) => html`<tr>${cells.map(({ kind, texts }) => html`<td class="${kind}">${texts[r]!}</td>`)}</tr>
`,
  );
  const isLong = rows.length > LONG;
  const characters = cells.reduce((sum, { texts }, c) => sum + longestOf([columns[c]!, ...texts]) + BETWEEN, 0);
  return html`<div class="${characters > HALF ? "broad" : "slim"}">
<h3>${title}${isLong ? ` (${rows.length} rows)` : ""}</h3>
<div class="${isLong ? "scroll long" : "scroll"}"><table class="${columns.length > WIDE ? "wide" : "narrow"}">
<thead><tr>${head}</tr></thead>
<tbody>
${body}</tbody>
</table></div>
</div>
`;
}

interface Column {
  readonly kind: "number" | "text";
  readonly texts: readonly string[];
}

/** Ems that columns of text have at least, so that words such as node ids are whole where a line has room for them. */
function textWidths(columns: readonly Column[]): number[] {
  const longest = columns.map(({ kind, texts }) =>
    longestOf(kind === "text" ? texts.flatMap((text) => text.split(" ")) : texts),
  );
  const numbers = columns.reduce((sum, { kind }, c) => sum + (kind === "number" ? longest[c]! : 0), 0);
  const share = (LINE - numbers) / columns.filter(({ kind }) => kind === "text").length;
  return columns.map(({ kind }, c) =>
    kind === "number" ? 0 : 0.55 * Math.round(Math.min(longest[c]!, Math.max(NARROW, share))),
  );
}

const longestOf = (texts: readonly string[]): number => Math.max(0, ...texts.map(({ length }) => length));

/** A column's cells as text. */
function columnOf(cells: readonly (string | number | null)[]): Column {
  const numbers = cells.filter((cell) => typeof cell === "number");
  const text = alike(numbers);
  const kind = numbers.length > 0 && cells.every((cell) => typeof cell !== "string") ? "number" : "text";
  return { kind, texts: cells.map((cell) => (typeof cell === "string" ? cell : text(cell))) };
}

const badge = (outcome: Outcome): Markup =>
  html`<span class="verdict ${/^not/.test(outcome) ? "none" : outcome}">${SIGNS[outcome]} ${outcome}</span>`;
const anchor = (name: string): string => name.replaceAll(" ", "-");
const link = (name: string): Markup => html`<a href="#${anchor(name)}">${name}</a>`;
const sentence = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
