/**
 * Writes the pages of docs/ that come from tables in the code. `--check` compares instead and fails on a difference.
 *
 * @module
 */

import { ENVIRONMENT } from "../src/env.ts";
import { capabilitiesPage, catalogPage } from "./capability_pages.ts";
import { cliPage } from "./cli_page.ts";
import { withTables } from "./op_tables.ts";

const MARK = "<!-- Written by tools/gen_docs.ts; edit the table in the source instead. -->";

function environmentPage(): string {
  const lines = ENVIRONMENT.map((row) => {
    const values = row.values ? row.values.map((v) => `\`${v}\``).join(", ") : "";
    return `| \`${row.name}\` | ${row.fallback} | ${values} | ${row.meaning} |`;
  });
  return [
    "# Environment variables",
    "",
    MARK,
    "",
    "A variable that the process may not read (`--allow-env`) counts as unset.",
    "",
    "| variable | default | values | meaning |",
    "| --- | --- | --- | --- |",
    ...lines,
    "",
  ].join("\n");
}

/** Page path, relative to the repository, and its text made from the present one. */
const PAGES: readonly (readonly [string, (old: string) => string | Promise<string>])[] = [
  ["docs/environment.md", environmentPage],
  ["docs/op-catalog.md", () => catalogPage(MARK)],
  ["docs/capabilities.md", () => capabilitiesPage(MARK)],
  ["docs/graph-and-ops.md", withTables],
  ["docs/cli.md", () => cliPage(MARK)],
];

/**
 * Markdown as `deno fmt` writes it, table padding included.
 *
 * @param text The page.
 * @returns The same in its final form.
 */
export async function formatted(text: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext=md", "--line-width=120", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { code, stdout } = await child.output();
  if (code !== 0) throw new Error("deno fmt failed");
  return new TextDecoder().decode(stdout);
}

async function main(check: boolean): Promise<number> {
  let stale = 0;
  for (const [path, page] of PAGES) {
    const url = new URL(`../${path}`, import.meta.url);
    const old = await Deno.readTextFile(url).catch(() => "");
    const text = await formatted(await page(old));
    if (old === text) continue;
    if (check) {
      console.error(`${path} is out of date: run deno task docs`);
      stale++;
    } else {
      await Deno.writeTextFile(url, text);
      console.log(`wrote ${path}`);
    }
  }
  return stale;
}

if (import.meta.main) Deno.exit(await main(Deno.args.includes("--check")) > 0 ? 1 : 0);
