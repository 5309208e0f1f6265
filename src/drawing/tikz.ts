/**
 * A drawing as a LaTeX document of one TikZ picture on a page of its size. Needs tikz and geometry, nothing else; the
 * picture can be copied into a paper with the definitions above it. Text is Computer Modern Typewriter at the width of the
 * other formats' font.
 */
import { oneLine } from "../util/text.ts";
import {
  type Box,
  type Drawing,
  type Fill,
  type Item,
  type Mark,
  num,
  type PathCommand,
  type Stroke,
} from "./drawing.ts";
import { ADVANCE, UNITS_PER_EM } from "./font.ts";
import { escapeLatex } from "./latex-text.ts";

/** Big points in a pixel, as in the PDF. */
const POINT = 0.75;
/** Width of the typewriter's characters, in ems. */
const TYPEWRITER = 0.525;

/** The typewriter font has these characters at the places of ASCII; elsewhere they would come from other fonts. */
const CHARACTERS: Record<string, number> = {
  textbackslash: 92,
  textbraceleft: 123,
  textbraceright: 125,
  textless: 60,
  textgreater: 62,
  textbar: 124,
  textasciigrave: 18,
  textquotesingle: 13,
  textvisiblespace: 32,
  textunderscore: 95,
};

const FACES = { regular: "\\figurefont", bold: "\\figurebold", italic: "\\figureslanted" } as const;

export function tikzText({ width, height, title, colors, groups }: Drawing): string {
  const names = new Map(
    Object.entries(colors).map(([name, hex]) => [hex, `figure-${name.replace(/\W|_/g, "-")}`] as const),
  );
  const page = [width, height].map((side) => `${num(side * POINT)}bp`);
  const scale = (ADVANCE / UNITS_PER_EM / TYPEWRITER).toFixed(4);
  return `${[
    `% ${oneLine(title)}`,
    "\\documentclass{article}",
    `\\usepackage[paperwidth=${page[0]},paperheight=${page[1]},margin=0bp]{geometry}`,
    "\\usepackage{tikz}",
    "\\pagestyle{empty}",
    "\\setlength{\\parindent}{0pt}",
    "\\setlength{\\topskip}{0pt}",
    "\\frenchspacing",
    `\\DeclareFontFamily{OT1}{figure}{\\hyphenchar\\font=-1}`,
    `\\DeclareFontShape{OT1}{figure}{m}{n}{<-> s*[${scale}] cmtt10}{}`,
    `\\DeclareFontShape{OT1}{figure}{m}{sl}{<-> s*[${scale}] cmsltt10}{}`,
    "\\newcommand\\figurefont[1]{\\usefont{OT1}{figure}{m}{n}\\figurecharacters#1}",
    "\\newcommand\\figureslanted[1]{\\usefont{OT1}{figure}{m}{sl}\\figurecharacters#1}",
    "% There is no bold typewriter: pdfTeX strokes the letters too.",
    "\\newcommand\\figurebold[1]{\\ifdefined\\pdfliteral",
    "  \\pdfliteral direct{2 Tr .3 w}\\figurefont{#1}\\pdfliteral direct{0 Tr}\\else\\figurefont{#1}\\fi}",
    "\\newcommand\\figurecharacters{%",
    ...Object.entries(CHARACTERS).map(([name, code]) => `  \\def\\${name}{\\char${code}\\relax}%`),
    "  \\def\\textperiodcentered{\\ensuremath{\\cdot}}%",
    "  \\def\\dots{\\hbox to .525em{\\hss.\\kern-.3em.\\kern-.3em.\\hss}}}",
    ...[...names].map(([hex, name]) => `\\definecolor{${name}}{HTML}{${hex.slice(1).toUpperCase()}}`),
    "\\begin{document}",
    `\\begin{tikzpicture}[x=${POINT}bp,y=-${POINT}bp,line width=${POINT}bp,line join=round,inner sep=0,outer sep=0]`,
    `\\useasboundingbox (0,0) rectangle (${num(width)},${num(height)});`,
    ...groups.flatMap(({ name, items }) => [
      `% ${name}`,
      ...items.flatMap((item) => itemTikz(item, (hex) => names.get(hex)!)),
    ]),
    "\\end{tikzpicture}%",
    "\\end{document}",
  ].join("\n")}\n`;
}

type NameOf = (hex: string) => string;

function itemTikz({ clip, marks }: Item, nameOf: NameOf): string[] {
  const lines = marks.map((mark) => markTikz(mark, nameOf));
  return clip === undefined ? lines : ["\\begin{scope}", `\\clip ${boxTikz(clip)};`, ...lines, "\\end{scope}"];
}

function at(x: number, y: number): string {
  return `(${num(x)},${num(y)})`;
}

function boxTikz({ x, y, width, height }: Box): string {
  return `${at(x, y)} rectangle ${at(x + width, y + height)}`;
}

function markTikz(mark: Mark, nameOf: NameOf): string {
  switch (mark.type) {
    case "line":
      return `\\draw[${strokeTikz(mark.stroke, nameOf)}] ${mark.points.map((p) => at(p.x, p.y)).join(" -- ")};`;
    case "segments": {
      const lines = mark.segments.map(([a, b]) => `${at(a.x, a.y)} -- ${at(b.x, b.y)}`);
      return `\\draw[${strokeTikz(mark.stroke, nameOf)}] ${lines.join("\n  ")};`;
    }
    case "rect": {
      const corners = mark.radius === undefined ? [] : [`rounded corners=${num(mark.radius * POINT)}bp`];
      const style = [...shape(mark.fill, mark.stroke, nameOf), ...corners].join(",");
      return `\\path[${style}] ${boxTikz(mark.box)};`;
    }
    case "circle":
      return `\\path[${shape(mark.fill, mark.stroke, nameOf).join(",")}] ${at(mark.x, mark.y)} circle[radius=${num(mark.radius * POINT)}bp];`;
    case "path":
      return `\\path[${shape(mark.fill, mark.stroke, nameOf).join(",")}] ${mark.commands.map(commandTikz).join(" ")};`;
    case "text": {
      const size = num(mark.size * POINT);
      const style = `text=${nameOf(mark.color)},anchor=base${mark.anchor === "start" ? " west" : ""}${mark.angle ? `,rotate=${num(-mark.angle)}` : ""}`;
      return `\\node[${style}] at ${at(mark.x, mark.y)} {\\fontsize{${size}bp}{${size}bp}${FACES[mark.face]}{${escapeLatex(mark.text)}}};`;
    }
  }
}

function commandTikz(command: PathCommand): string {
  switch (command.type) {
    case "M":
      return at(command.x, command.y);
    case "L":
      return `-- ${at(command.x, command.y)}`;
    case "C":
      return `.. controls ${at(command.x1, command.y1)} and ${at(command.x2, command.y2)} .. ${at(command.x, command.y)}`;
    case "Z":
      return "-- cycle";
  }
}

function shape(fill: Fill | undefined, stroke: Stroke | undefined, nameOf: NameOf): string[] {
  return [
    ...(fill === undefined ? [] : [`fill=${nameOf(fill.color)}`]),
    ...(fill?.opacity === undefined ? [] : [`fill opacity=${num(fill.opacity)}`]),
    ...(stroke === undefined ? [] : [strokeTikz(stroke, nameOf)]),
  ];
}

function strokeTikz({ color, width, dash, opacity, cap }: Stroke, nameOf: NameOf): string {
  const pattern = dash?.map((length, i) => `${i % 2 === 0 ? "on" : "off"} ${num(length * POINT)}bp`).join(" ");
  return [
    `draw=${nameOf(color)}`,
    ...(width === 1 ? [] : [`line width=${num(width * POINT)}bp`]),
    ...(pattern === undefined ? [] : [`dash pattern=${pattern}`]),
    ...(opacity === undefined ? [] : [`draw opacity=${num(opacity)}`]),
    ...(cap === undefined ? [] : [`line cap=${cap}`]),
  ].join(",");
}
