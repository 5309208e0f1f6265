/** Makes the compiled commands executable: the compiler does not. */
import { chmodSync } from "node:fs";

for (const bin of ["sparse", "circuit"]) chmodSync(new URL(`../dist/src/cli/${bin}.js`, import.meta.url), 0o755);
