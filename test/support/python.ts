/** Python as an oracle for generated programs: one process for a whole list of them. Absent Python is for callers to skip. */
import { spawnSync } from "node:child_process";

function works(command: string): boolean {
  return spawnSync(command, ["-c", "import ast"], { stdio: "ignore" }).status === 0;
}

/** A Python 3, or undefined. */
export const python = ["/usr/bin/python3", "python3"].find(works);

/**
 * For each program, one complaint or "". Names: what a statement reads was bound before it, at its own level or further
 * out (a function: by its parameters). What is called need not be: the programs call functions that they do not define.
 */
const SCRIPT = `
import ast, builtins, json, sys

def reads(node):
    """Names that an expression reads, but for those it binds itself and those it calls."""
    own = {arg.arg for arg in ast.walk(node) if isinstance(arg, ast.arg)}
    called = {call.func for call in ast.walk(node) if isinstance(call, ast.Call)}
    for name in ast.walk(node):
        if isinstance(name, ast.comprehension):
            own.add(name.target.id)
    for name in ast.walk(node):
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load) and name not in called:
            if name.id not in own and not hasattr(builtins, name.id):
                yield name

def stores(node):
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}

def visit(body, bound):
    for node in body:
        if isinstance(node, ast.FunctionDef):
            visit(node.body, {arg.arg for arg in node.args.args})
            continue
        heads = {ast.If: ["test"], ast.While: ["test"], ast.For: ["iter"], ast.With: ["items"], ast.ClassDef: []}
        fields = heads.get(type(node))
        parts = [node] if fields is None else [part for field in fields for part in listed(getattr(node, field))]
        for part in parts:
            for name in reads(part):
                if name.id not in bound:
                    raise NameError(f"line {name.lineno}: {name.id} is read before it is bound")
        if isinstance(node, ast.AugAssign) and not stores(node) <= bound:
            raise NameError(f"line {node.lineno}: the target is not bound")
        if fields is None:
            bound |= stores(node)
            continue
        inner = set(bound).union(*(stores(part) for part in parts + listed(getattr(node, "target", []))))
        visit(node.body, set(inner))
        visit(getattr(node, "orelse", []), set(bound))

def listed(value):
    return value if isinstance(value, list) else [value]

def complaint(text, names):
    try:
        tree = ast.parse(text)
        if names:
            visit(tree.body, set())
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except NameError as error:
        return str(error)
    return ""

request = json.load(sys.stdin)
json.dump([complaint(text, request["names"]) for text in request["programs"]], sys.stdout)
`;

export function complaints(programs: readonly string[], options: { names: boolean } = { names: false }): string[] {
  const run = spawnSync(python!, ["-c", SCRIPT], {
    input: JSON.stringify({ programs, ...options }),
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout) as string[];
}
