// Builds the chat element into dist/ and copies the scripts of our own pages into contact_hub/web/static/vendor.
import { build, transform } from "esbuild";
import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const vendor = join(here, "../../../contact_hub/web/static/vendor");

// Browsers that received updates in the last four years.
const target = ["chrome106", "firefox105", "safari16.0"];

const minifiedStyles = {
  name: "minified-styles",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, "utf8"), { loader: "css", minify: true, target });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

const [result] = (
  await build({
    entryPoints: [join(here, "source/city-chat.js")],
    bundle: true,
    minify: true,
    format: "iife",
    charset: "utf8",
    legalComments: "none",
    target,
    plugins: [minifiedStyles],
    write: false,
  })
).outputFiles;

await mkdir(join(here, "dist"), { recursive: true });
// A process that serves the old file while this runs never sees half of the new one.
const aside = join(here, `dist/.city-chat.${process.pid}.js`);
await writeFile(aside, result.contents);
await rename(aside, join(here, "dist/city-chat.js"));
console.log(`city-chat.js: ${(result.contents.length / 1024).toFixed(1)} kB`);

await rm(vendor, { recursive: true, force: true });
await mkdir(vendor, { recursive: true });
const copies = {
  "chart.js/dist/chart.umd.min.js": "chart.umd.min.js",
  "htmx.org/dist/ext/hx-sse.min.js": "hx-sse.min.js",
  "htmx.org/dist/htmx.min.js": "htmx.min.js",
  "swagger-ui-dist/swagger-ui-bundle.js": "swagger-ui-bundle.js",
  "swagger-ui-dist/swagger-ui.css": "swagger-ui.css",
};
for (const [from, to] of Object.entries(copies)) {
  const source = join(here, "node_modules", from);
  await copyFile(source, join(vendor, to));
  console.log(`${to}: ${((await stat(source)).size / 1024).toFixed(1)} kB`);
}
