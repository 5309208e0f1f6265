/** The look of the report page, on screen and on paper: a paper's supplement. Verdicts differ in sign, word and frame, not by colour alone. */
export const STYLE = `
:root { --ink: #1a1a1a; --side: #565656; --rule: #c8c8c8; --soft: #f5f5f3; }
* { box-sizing: border-box; }
html { font-size: 15px; -webkit-text-size-adjust: 100%; }
body { max-width: 54rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; background: #fff; color: var(--ink);
  font: 1rem/1.5 Charter, "Bitstream Charter", "Source Serif 4", Georgia, "Times New Roman", serif; }
h1, h2, h3, th, dt, .verdict, .kind, figcaption, footer { font-family: "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 .5rem; font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 0 0 .5rem; font-size: 1.15rem; line-height: 1.3; }
h3 { margin: 1.4rem 0 .4rem; font-size: .85rem; overflow-wrap: anywhere; }
p { margin: 0 0 .6rem; overflow-wrap: anywhere; }
a { color: inherit; text-decoration-color: #9a9a9a; text-underline-offset: .15em; }
.kind { margin: 0 0 .2rem; color: var(--side); font-size: .8rem; }
.summary { font-size: 1.1rem; }
section { margin-top: 2.25rem; padding-top: 1rem; border-top: 1px solid var(--rule); }
.question { font-style: italic; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: .8rem 0; }
dt { color: var(--side); font-size: .8em; line-height: 1.9; }
dd { margin: 0; overflow-wrap: anywhere; }
.facts { grid-template-columns: repeat(2, max-content minmax(0, 1fr)); }
.tally { margin: .9rem 0 0; padding: 0; list-style: none; }
.tally li { display: flex; gap: .7rem; margin-bottom: .3rem; }
.tally li > :first-child { flex: none; width: 8.6rem; }

.verdict { display: inline-block; padding: 0 .45em; border: 1.5px solid; border-radius: 3px; font-size: .78rem; line-height: 1.5;
  font-weight: 600; white-space: nowrap; }
.pass { color: #00624a; }
.weak { color: #7a5200; border-style: dashed; background: #fff6df; }
.fail { color: #fff; background: #b03a00; border-color: #b03a00; }
.none { color: var(--side); border-color: transparent; font-weight: normal; }
h2 .verdict { margin-left: .5em; vertical-align: .1em; }

.scroll { overflow-x: auto; }
.long { max-height: 26rem; width: fit-content; max-width: 100%; padding-right: 1.2rem; overflow-y: auto; border-bottom: 1px solid var(--rule); }
table { border-collapse: collapse; font-size: .82rem; line-height: 1.4; font-variant-numeric: tabular-nums lining-nums; }
th, td { padding: .22rem .9rem .22rem 0; text-align: left; vertical-align: top; }
th:last-child, td:last-child { padding-right: .2rem; }
th { color: var(--side); font-size: .75rem; font-weight: 600; vertical-align: bottom; }
thead th { position: sticky; top: 0; background: #fff; box-shadow: inset 0 -1.5px var(--ink); }
tbody tr + tr > * { border-top: 1px solid #e6e6e6; }
.long table { font-size: .75rem; line-height: 1.25; }
.long td { padding-top: .1rem; padding-bottom: .1rem; }
.text { overflow-wrap: anywhere; white-space: pre-wrap; }
.number { text-align: right; }
td.number { white-space: nowrap; }
.wide { font-size: .72rem; }
.wide th, .wide td { padding-right: .5rem; }
.wide th { font-size: .68rem; }
.overview { width: 100%; }
.overview th[scope="row"] { color: inherit; font-size: .82rem; min-width: 8.5em; vertical-align: top; }
.overview .text { min-width: 12em; }
.key { margin: 0; padding: 0; list-style: none; min-width: 17em; }
.key span { white-space: nowrap; font-weight: 600; }

.plots { display: flex; flex-wrap: wrap; gap: 1rem .75rem; align-items: flex-start; }
figure { margin: .6rem 0 0; max-width: calc(50% - .4rem); }
figure svg { display: block; max-width: 100%; height: auto; }
figcaption { padding-left: .6rem; font-size: .8rem; font-weight: 600; overflow-wrap: anywhere; }
figcaption span { display: block; color: var(--side); font-weight: normal; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--rule); color: var(--side); font-size: .78rem; }

@media screen and (max-width: 40rem) {
  .facts { grid-template-columns: max-content 1fr; }
  figure { max-width: 100%; }
}

/* On paper each check is set in two columns; a plot, or a table of few columns, is as wide as one of them. */
@page { margin: 14mm 13mm; }
@media print {
  :root { --ink: #000; --side: #000; }
  html { font-size: 9pt; }
  body { max-width: none; padding: 0; line-height: 1.35; }
  .check { columns: 2; column-gap: 7mm; }
  .broad { column-span: all; }
  h2 { margin-bottom: .25rem; }
  section p, section dl { font-size: 8pt; }
  section dl { gap: .15rem .6rem; margin: .4rem 0; }
  h3 { margin-top: .7rem; }
  table, .key { font-size: 7.5pt; line-height: 1.25; }
  th, td { padding-top: .12rem; padding-bottom: .12rem; }
  tbody tr:first-child > * { padding-top: .25rem; }
  .overview th[scope="row"], .verdict { font-size: 7.5pt; }
  .tally { margin-top: .5rem; }
  figure { max-width: 100%; margin-top: .4rem; }
  figcaption { font-size: 7.5pt; }
  footer { margin-top: .8rem; }
  a { text-decoration: none; }
  h1, h2, h3, .question, .reason { break-after: avoid; }
  figure, tr, li, .check .scroll { break-inside: avoid; }
  .check .long { break-inside: auto; }
  thead { display: table-header-group; }
  thead th { position: static; border-bottom: 1px solid #000; box-shadow: none; }
  p { orphans: 3; widows: 3; }
  section { margin-top: .8rem; padding-top: .5rem; }
  .scroll, .long { overflow: visible; max-height: none; border: 0; }
  .pass, .weak, .fail, .none { color: #000; background: none; }
  .fail { border: 2.5px solid #000; }
  .long table { font-size: 7.5pt; line-height: 1.15; }
  .wide, .long .wide { font-size: 6.5pt; }
  .wide th { font-size: 6pt; }
  .wide th, .wide td { padding-right: .3rem; }
}
`;
